import { type FormEvent, useEffect, useRef, useState } from "react";
import { type Caller, callerOf, parseAwsCredentials, sandboxCallers } from "./credentials";

interface FormProps {
  readonly onSignIn: (caller: Caller) => void;
}

interface SignInProps extends FormProps {
  /** Who has signed in before, and may do so again in the same way. */
  readonly previous?: Caller;
}

/** Takes AWS credentials or a token. What is typed leaves this form only through `onSignIn`. */
export function SignInForm({ onSignIn, previous }: SignInProps) {
  const hadToken = previous !== undefined && "token" in previous.credentials;
  const [kind, setKind] = useState<"aws" | "token">(hadToken ? "token" : "aws");
  return (
    <>
      <div className="segmented" role="group" aria-label="How to sign in">
        <button type="button" aria-pressed={kind === "aws"} onClick={() => setKind("aws")}>
          AWS credentials
        </button>
        <button type="button" aria-pressed={kind === "token"} onClick={() => setKind("token")}>
          Token
        </button>
      </div>
      {kind === "aws" ? <AwsForm onSignIn={onSignIn} /> : <TokenForm onSignIn={onSignIn} />}
      {sandboxCallers.length > 0 && (
        <div className="sandbox-callers">
          <p className="quiet">Callers of the sandbox:</p>
          {sandboxCallers.map((caller) => (
            <button key={caller.label} type="button" onClick={() => onSignIn(caller)}>
              {caller.label}
            </button>
          ))}
        </div>
      )}
      <p className="quiet">Credentials stay in this page's memory, until you sign out or close it.</p>
    </>
  );
}

function AwsForm({ onSignIn }: FormProps) {
  const [fields, setFields] = useState({ accessKeyId: "", secretAccessKey: "", sessionToken: "" });
  const [pasteFailed, setPasteFailed] = useState(false);

  const paste = (text: string) => {
    const found = parseAwsCredentials(text);
    if (found) setFields(found);
    setPasteFailed(found === null && text.trim() !== "");
  };
  const field = (name: keyof typeof fields) => ({
    value: fields[name],
    onChange: (event: { target: { value: string } }) =>
      setFields({ ...fields, [name]: event.target.value.trim() }),
    autoComplete: "off",
    spellCheck: false,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onSignIn(callerOf(fields));
  };

  return (
    <form onSubmit={submit}>
      <label>
        <span>
          Paste <code>export AWS_…</code> lines, or the JSON of{" "}
          <code>aws configure export-credentials</code>
        </span>
        {/* Always empty: what is pasted goes to the fields below. */}
        <textarea
          rows={2}
          value=""
          onChange={(event) => paste(event.target.value)}
          aria-describedby="paste-result"
          autoComplete="off"
          spellCheck={false}
        />
      </label>
      <p id="paste-result" role="status" className="quiet">
        {pasteFailed && "No credentials found. Accepted: an access key id and a secret access key."}
      </p>
      <label>
        Access key id
        <input {...field("accessKeyId")} required />
      </label>
      <label>
        Secret access key
        <input type="password" {...field("secretAccessKey")} required />
      </label>
      <label>
        Session token
        <input type="password" {...field("sessionToken")} />
      </label>
      <button type="submit" className="primary">
        Sign in
      </button>
    </form>
  );
}

function TokenForm({ onSignIn }: FormProps) {
  const [token, setToken] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onSignIn(callerOf({ token: token.replace(/^Bearer\s+/i, "").trim() }));
  };
  return (
    <form onSubmit={submit}>
      <label>
        Token of your identity provider (a JWT)
        <input
          type="password"
          value={token}
          onChange={(event) => setToken(event.target.value)}
          required
          autoComplete="off"
        />
      </label>
      <button type="submit" className="primary">
        Sign in
      </button>
    </form>
  );
}

interface DialogProps extends FormProps {
  readonly previous: Caller;
  readonly onClose: () => void;
}

/** The form over the page, which stays visible: for credentials that have expired. */
export function SignInDialog({ onSignIn, previous, onClose }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  // showModal keeps the focus inside, and closing returns it to where it was.
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="sign-in-again">
      <header>
        <h2 id="sign-in-again">Sign in again</h2>
        <button type="button" onClick={() => dialog.current?.close()} aria-label="Close">
          ×
        </button>
      </header>
      <p>The credentials have expired or were not accepted.</p>
      <SignInForm onSignIn={onSignIn} previous={previous} />
    </dialog>
  );
}
