// One client over the two clients of TOP for Node.js, each by the two verbs that they know.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const require = createRequire(import.meta.url);

/** What sdktest/world tells its clients. */
export const world = JSON.parse(readFileSync(process.env.SDKTEST_WORLD, 'utf8'));
export const { cases } = JSON.parse(readFileSync(world.top_cases, 'utf8'));

/** The SDK under test and its verb. */
export const sdkName = process.env.SDKTEST_SDK ?? 'topsdk-post';

/** Objects as JSON: topsdk signs "[object Object]" for an object that its user has not made a text of. */
function asTexts(params) {
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : value]));
}

function topsdk(verb) {
  const TopClient = require('topsdk');
  return (appKey, secret) => {
    const client = new TopClient(appKey, secret, world.top, { useValidators: false });
    return (method, params) => client.execute(method, asTexts(params), verb);
  };
}

function nodeTaobaoTopclient(verb) {
  const sdk = require('node-taobao-topclient');
  const TopClient = sdk.TopClient ?? sdk.default ?? sdk;
  return (appKey, secret) => {
    const client = new TopClient({ appkey: appKey, appsecret: secret, REST_URL: world.top });
    return (method, params) => client.execute(method, { ...params }, verb);
  };
}

const sdks = {
  'topsdk-post': topsdk('post'),
  'topsdk-get': topsdk('get'),
  'node-taobao-topclient-post': nodeTaobaoTopclient('POST'),
  'node-taobao-topclient-get': nodeTaobaoTopclient('GET'),
};

/** Makes the function (method, params) → answer of an app; the answer is what the SDK gives its user, or it throws. */
export const client = sdks[sdkName];

/** The error_response behind what the SDKs throw. */
export function refusalOf(error) {
  return error.data?.error_response ?? { code: error.code, msg: error.msg ?? error.message, sub_code: error.sub_code, sub_msg: error.sub_msg };
}

/** What stands at the end of a path such as "result.list.0.code". The member around a list has the name of its type. */
export function at(answer, path) {
  let node = answer;
  for (const name of path.split('.')) {
    if (/^\d+$/.test(name) && node && !Array.isArray(node)) [node] = Object.values(node);
    node = node?.[name];
  }
  return node;
}
