"""The ASGI application: middleware, the GraphQL endpoint, GraphiQL and health checks."""
