// What the shared cases cannot say: calls at the same time, and signatures that must not verify.
import assert from 'node:assert/strict';
import test from 'node:test';
import { client, sdkName, send, world } from './client.js';

const alice = '2088302001456115';

test(`${sdkName}: eight calls at once with one key give one voucher`, async () => {
  const sdks = Array.from({ length: 8 }, () => client());
  const biz = { template_id: 'crowd', user_id: alice, out_biz_no: 'crowd-1' };
  const answers = await Promise.all(sdks.map(sdk => send(sdk, biz)));
  for (const answer of answers) assert.equal(answer.code, '10000', JSON.stringify(answer));
  assert.equal(new Set(answers.map(answer => answer.voucherId)).size, 1);
});

test(`${sdkName}: eight calls at once with eight keys give what the stock has left`, async () => {
  const sdk = client();
  await send(sdk, { template_id: 'crowd', user_id: alice, out_biz_no: 'crowd-1' }); // one of four, whoever was first
  const keys = Array.from({ length: 8 }, (_, n) => `crowd-stock-${n}`);
  const answers = await Promise.all(keys.map(key => send(sdk, { template_id: 'crowd', user_id: alice, out_biz_no: key })));
  const issued = answers.filter(answer => answer.code === '10000').map(answer => answer.voucherId);
  const refused = answers.filter(answer => answer.subCode === 'STOCK_NOT_ENOUGH');
  assert.deepEqual([issued.length, new Set(issued).size, refused.length], [3, 3, 5], JSON.stringify(answers));
});

test(`${sdkName}: the SDK's own names in camel case`, async () => {
  const answer = await send(client(), { templateId: 'coupon', userId: alice, outBizNo: 'camel-1', memo: '国庆' });
  assert.equal(answer.code, '10000', JSON.stringify(answer));
});

/** What a user of the SDK sees of an answer that does not verify, whether it is a success or a failure. */
async function mustNotVerify(sdk, biz) {
  await assert.rejects(send(sdk, biz), error => {
    assert.match(error.errorMessage ?? error.message, /验签失败/);
    return true;
  });
}

test(`${sdkName}: a gateway with another key is noticed`, async () => {
  const sdk = client({ alipayPublicKey: world.not_gateway_key });
  await mustNotVerify(sdk, { template_id: 'coupon', user_id: alice, out_biz_no: 'key-1' });
  await mustNotVerify(sdk, { template_id: 'none', user_id: alice, out_biz_no: 'key-1' });
});

test(`${sdkName}: a call signed with another key is refused, and says what was to be signed`, async () => {
  const answer = await send(client({ privateKey: world.other_key }), { template_id: 'coupon', user_id: alice, out_biz_no: 'key-2' });
  assert.deepEqual([answer.code, answer.subCode], ['40002', 'isv.invalid-signature'], JSON.stringify(answer));
  assert.ok(answer.subMsg.includes(`app_id=${world.app_id}&amp;`), answer.subMsg);
});

test(`${sdkName}: an answer arrives with its trace`, async () => {
  const response = await fetch(`${world.gateway}?method=alipay.marketing.voucher.send`);
  assert.equal(response.status, 200);
  assert.match(response.headers.get('trace_id') ?? '', /^\S+$/);
  const { alipay_marketing_voucher_send_response: node, sign } = await response.json();
  assert.equal(node.sub_code, 'isv.missing-app-id');
  assert.notEqual(sign ?? '', '');
});
