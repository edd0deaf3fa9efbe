// Who signs in. Credentials live in memory only: they are never stored, logged or put into an address.

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

export type Credentials = AwsCredentials | { readonly token: string };

export interface Caller {
  /** What the page calls the caller: no secret. */
  readonly label: string;
  readonly credentials: Credentials;
}

export function callerOf(credentials: Credentials): Caller {
  const label = "token" in credentials ? "Bearer token" : credentials.accessKeyId;
  return { label, credentials };
}

export function requestHeaders(credentials: Credentials): Record<string, string> {
  if ("token" in credentials) return { Authorization: `Bearer ${credentials.token}` };
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  return {
    "X-Aws-Access-Key-Id": accessKeyId,
    "X-Aws-Secret-Access-Key": secretAccessKey,
    ...(sessionToken && { "X-Aws-Session-Token": sessionToken }),
  };
}

const NAMES = {
  accessKeyId: ["AWS_ACCESS_KEY_ID", "AccessKeyId", "aws_access_key_id"],
  secretAccessKey: ["AWS_SECRET_ACCESS_KEY", "SecretAccessKey", "aws_secret_access_key"],
  sessionToken: ["AWS_SESSION_TOKEN", "SessionToken", "aws_session_token"],
} as const;

/**
 * Finds AWS credentials in pasted text: lines such as `export AWS_ACCESS_KEY_ID="…"`, `set AWS_…=…` or
 * `aws_access_key_id = …`, or the JSON of `aws configure export-credentials` or of STS. Null if there
 * are none.
 */
export function parseAwsCredentials(text: string): AwsCredentials | null {
  const find = (names: readonly string[]) => {
    for (const name of names) {
      // Between name and value: quotes and a colon in JSON, an equals sign elsewhere.
      const found = new RegExp(`\\b${name}["']?\\s*[:=]\\s*["']?([^\\s"',;]+)`).exec(text);
      if (found?.[1]) return found[1];
    }
    return "";
  };
  const found = {
    accessKeyId: find(NAMES.accessKeyId),
    secretAccessKey: find(NAMES.secretAccessKey),
    sessionToken: find(NAMES.sessionToken),
  };
  return found.accessKeyId && found.secretAccessKey ? found : null;
}

/** The sandbox's callers, which `make example-…` hands to the development server; none in a build. */
export const sandboxCallers: readonly Caller[] = import.meta.env.DEV
  ? JSON.parse(import.meta.env.VITE_SANDBOX_CALLERS ?? "[]")
  : [];
