import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import type { Caller } from "./credentials";
import { SignInDialog, SignInForm } from "./SignIn";

interface Props {
  readonly title: string;
  /**
   * The page of a caller, with a client and a store of their own. It unmounts with everything that it
   * holds when they sign out, or when somebody signs in again.
   */
  readonly renderSession: (caller: Caller, onUnauthenticated: () => void) => ReactNode;
}

/** The frame of the page, and who is signed in. */
export function App({ title, renderSession }: Props) {
  const [session, setSession] = useState<{ caller: Caller; number: number } | null>(null);
  const [isExpired, setExpired] = useState(false);
  const [isDialogOpen, setDialogOpen] = useState(false);
  const main = useRef<HTMLElement>(null);

  // The form that had the focus is gone.
  useEffect(() => {
    if (session) main.current?.focus();
  }, [session]);

  const signIn = (caller: Caller) => {
    setSession({ caller, number: (session?.number ?? 0) + 1 });
    setExpired(false);
    setDialogOpen(false);
  };
  const signOut = () => {
    main.current?.focus();
    setSession(null);
    setExpired(false);
  };
  const onUnauthenticated = useCallback(() => {
    setExpired(true);
    setDialogOpen(true);
  }, []);

  return (
    <>
      <header className="bar">
        <h1>{title}</h1>
        {session && (
          <>
            <span className="caller">{session.caller.label}</span>
            {isExpired && (
              <button type="button" onClick={() => setDialogOpen(true)}>
                Sign in again
              </button>
            )}
            <button type="button" onClick={signOut}>
              Sign out
            </button>
          </>
        )}
      </header>
      <main ref={main} tabIndex={-1}>
        {session ? (
          <div key={session.number} className="session">
            {renderSession(session.caller, onUnauthenticated)}
          </div>
        ) : (
          <section className="sign-in" aria-labelledby="sign-in">
            <h2 id="sign-in">Sign in</h2>
            <SignInForm onSignIn={signIn} />
          </section>
        )}
      </main>
      {session && isDialogOpen && (
        <SignInDialog
          onSignIn={signIn}
          previous={session.caller}
          onClose={() => setDialogOpen(false)}
        />
      )}
    </>
  );
}
