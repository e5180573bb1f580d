/** How a service signs: the body alone, or its id and time as well, as https://www.standardwebhooks.com has it. */
export const signatureForms = ['body', 'standard-webhooks'] as const;
export type SignatureForm = (typeof signatureForms)[number];

/** What a standard webhook's secret is written as: `whsec_` and 24 to 64 bytes in base64. */
export function standardKey(secret: string): Buffer | undefined {
  const encoded = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret)?.[1];
  const key = encoded === undefined ? undefined : Buffer.from(encoded, 'base64');
  return key !== undefined && key.length >= 24 && key.length <= 64 ? key : undefined;
}
