// One client over the two majors of the SDK, which differ in how they are made and in what they throw.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const require = createRequire(import.meta.url);

/** What sdktest/world tells its clients. */
export const world = JSON.parse(readFileSync(process.env.SDKTEST_WORLD, 'utf8'));
export const { cases } = JSON.parse(readFileSync(world.cases, 'utf8'));

/** The SDK under test: alipay-sdk-4 or alipay-sdk-3, as package.json names them. */
export const sdkName = process.env.SDKTEST_SDK ?? 'alipay-sdk-4';
const sdk = require(sdkName);
const AlipaySdk = sdk.AlipaySdk ?? sdk.default;

export const method = 'alipay.marketing.voucher.send';

/** A client that verifies answers, as its users are told to. */
export function client(config = {}) {
  return new AlipaySdk({
    gateway: world.gateway,
    appId: world.app_id,
    keyType: 'PKCS8',
    privateKey: world.private_key,
    alipayPublicKey: world.gateway_key,
    timeout: 15000,
    ...config,
  });
}

/** Sends one voucher and gives what the SDK gives its caller. */
export async function send(sdk, bizContent, { token, name = method } = {}) {
  const params = { bizContent };
  if (token) params.appAuthToken = token;
  return sdk.exec(name, params, { validateSign: true });
}
