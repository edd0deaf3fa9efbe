"""The accounts of the sandbox: who can call it, and the resources that it generates for them."""
