/** Where a browser that is signed in wants to be told, and with which keys nobody on the way can read it. */
export interface PushSubscription {
  readonly sessionId: string;
  readonly endpoint: string;
  /** The browser's public key, and the secret that it shares with us; both in base64url. */
  readonly p256dh: string;
  readonly auth: string;
  /** What it was made under: the owner's key and our own. Under others it is worth nothing. */
  readonly mark: string;
}

/** What a browser shows. It opens the path. */
export interface PushNote {
  readonly title: string;
  readonly text: string;
  readonly path: string;
  /** A later note takes the place of an earlier one with the same tag. */
  readonly tag: string;
}
