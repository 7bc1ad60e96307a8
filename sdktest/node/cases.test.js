// The cases of ../cases.json, which every SDK runs.
import assert from 'node:assert/strict';
import test from 'node:test';
import { cases, client, method, sdkName, send } from './client.js';

/** The client of a step; SDKs keep connections, so there is one for each app and sign type. */
const clients = new Map();
function clientOf(appId, signType) {
  const key = `${appId} ${signType}`;
  if (!clients.has(key)) {
    const config = {};
    if (appId) config.appId = appId;
    if (signType) config.signType = signType;
    clients.set(key, client(config));
  }
  return clients.get(key);
}

/** Runs one step, up to step.tries times when its answer may take a while to come. */
async function answerOf(step, signType) {
  const sdk = clientOf(step.app_id, signType);
  let answer;
  for (let tries = step.tries ?? 1; tries > 0; tries--) {
    answer = await send(sdk, step.biz, { token: step.token, name: step.method ?? method });
    if (answer.code === step.code) break;
  }
  return answer;
}

function checkSuccess(step, answer, vouchers, what) {
  assert.deepEqual([answer.code, answer.msg, answer.subCode, answer.subMsg], ['10000', 'Success', undefined, undefined], what);
  assert.match(answer.voucherId, /^\d{28}$/, what);
  if (step.same_as === undefined) {
    assert.ok(!vouchers.includes(answer.voucherId), `${what}: the voucher of another step`);
  } else {
    assert.equal(answer.voucherId, vouchers[step.same_as], what);
  }
  assert.equal(answer.userId, step.user_id ?? step.biz.user_id, what);
  assert.equal(answer.openId, step.open_id, what);
}

function checkFailure(step, answer, what) {
  assert.equal(`${answer.code} ${answer.subCode}`, `${step.code} ${step.sub_code}`, what);
  assert.equal(answer.voucherId, undefined, what);
  assert.notEqual(answer.msg, '', what);
  assert.match(answer.subMsg, /\p{Script=Han}/u, what);
  if (step.sub_msg) assert.ok(answer.subMsg.includes(step.sub_msg), what);
}

for (const { name, sign_type: signType, steps } of cases) {
  test(`${sdkName}: ${name}`, async () => {
    const vouchers = [];
    for (const [n, step] of steps.entries()) {
      const answer = await answerOf(step, signType);
      const what = `step ${n}: ${JSON.stringify(step.biz)} was answered ${JSON.stringify(answer)}`;
      if (step.code === '10000') checkSuccess(step, answer, vouchers, what);
      else checkFailure(step, answer, what);
      vouchers.push(answer.voucherId);
    }
  });
}
