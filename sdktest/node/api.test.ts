// The life of vouchers by a client whose types are generated from the OpenAPI file of the JSON API: what the file promises
// compiles, and what the program answers has it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { AlipaySdk } from 'alipay-sdk-4';
import createClient from 'openapi-fetch';
import type { components, paths } from './build/api.js';

interface World { gateway: string; app_id: string; private_key: string; gateway_key: string; api: string; api_token: string; api_token_query: string }
const world = JSON.parse(readFileSync(process.env.SDKTEST_WORLD!, 'utf8')) as World;

type Problem = components['schemas']['Problem'];

const api = clientWith(world.api_token);

function clientWith(token: string) {
  return createClient<paths>({ baseUrl: world.api, headers: { Authorization: `Bearer ${token}` } });
}

const alipay = new AlipaySdk({
  gateway: world.gateway, appId: world.app_id, keyType: 'PKCS8', privateKey: world.private_key, alipayPublicKey: world.gateway_key,
});

/** Issues a voucher over the Alipay gateway, and finds it by its key. */
async function issue(template: string, key: string, more: Record<string, string> = {}) {
  await alipay.exec('alipay.marketing.voucher.send', {
    bizContent: { template_id: template, user_id: '2088302001456115', out_biz_no: key, ...more },
  });
  const { data } = await api.GET('/api/v1/keys', { params: { query: { command: 'issue', key, template } } });
  assert.equal(data?.state, 'done');
  const voucher = data.vouchers[0];
  assert.ok(voucher);
  return voucher;
}

/** Holds a refusal to a status and a reason. */
function refused(answer: { error?: Problem; response: Response }, status: number, reason: string) {
  assert.equal(answer.response.status, status);
  assert.equal(answer.response.headers.get('content-type'), 'application/problem+json');
  assert.equal(answer.error?.reason, reason);
}

const header = (key: string) => ({ header: { 'Idempotency-Key': key } });

test('a red packet is redeemed in parts and reversed', async () => {
  const voucher = await issue('cash', 'api-cash', { amount: '50.00' });
  assert.equal(voucher.status, 'ISSUED');
  assert.equal(voucher.balance, '5000');

  const body = { voucher_id: voucher.id, order: '订单-1', shop: 'shop-1', order_amount: '8000', amount: '2000' };
  const redeemed = await api.POST('/api/v1/redemptions', { params: header('r-1'), body });
  assert.equal(redeemed.data?.discount, '2000');
  assert.equal(redeemed.data?.balance, '3000');
  assert.equal(redeemed.response.headers.get('idempotency-replayed'), null);

  const again = await api.POST('/api/v1/redemptions', { params: header('r-1'), body });
  assert.deepEqual(again.data, redeemed.data);
  assert.equal(again.response.headers.get('idempotency-replayed'), 'true');
  refused(await api.POST('/api/v1/redemptions', { params: header('r-1'), body: { ...body, amount: '1' } }), 409, 'KEY_CONFLICT');
  refused(await api.POST('/api/v1/redemptions', { params: header('r-2'), body: { ...body, amount: '3001' } }), 422, 'BALANCE_NOT_ENOUGH');

  const path = { id: redeemed.data!.id };
  const reversed = await api.POST('/api/v1/redemptions/{id}/reversals', { params: { path, ...header('back') }, body: { amount: '500' } });
  assert.equal(reversed.data?.balance, '3500');
  assert.equal(reversed.data?.redemption_id, path.id);
  const redemption = await api.GET('/api/v1/redemptions/{id}', { params: { path } });
  assert.equal(redemption.data?.reversed, '500');

  const { data } = await api.GET('/api/v1/vouchers/{id}', { params: { path: { id: voucher.id } } });
  assert.deepEqual(data?.operations?.map(o => o.command), ['redeem', 'reverse']);
  assert.equal(data?.operations?.[0]?.order, '订单-1');
});

test('eight tills at once redeem a coupon once', async () => {
  const voucher = await issue('coupon', 'api-coupon');
  assert.equal(voucher.face?.threshold, '10000');
  const answers = await Promise.all(Array.from({ length: 8 }, (_, n) => api.POST('/api/v1/redemptions', {
    params: header(`till-${n}`), body: { voucher_id: voucher.id, order: `o-${n}`, order_amount: '10000' },
  })));
  const done = answers.filter(a => a.data);
  assert.equal(done.length, 1);
  assert.equal(done[0]?.data?.discount, '1050');
  for (const a of answers) if (!a.data) refused(a, 422, 'VOUCHER_USED');
});

test('a voucher is ended, extended and voided', async () => {
  const { id } = await issue('fixed-price', 'api-price');
  const path = { id };
  await api.POST('/api/v1/vouchers/{id}/expire', { params: { path, ...header('e') } });
  assert.equal((await api.GET('/api/v1/vouchers/{id}', { params: { path } })).data?.status, 'EXPIRED');
  const end = new Date(Date.now() + 86_400_000).toISOString();
  const extended = await api.POST('/api/v1/vouchers/{id}/extend', { params: { path, ...header('x') }, body: { expires_at: end } });
  assert.equal(new Date(extended.data!.expires_at!).toISOString(), end);
  const voided = await api.POST('/api/v1/vouchers/{id}/void', { params: { path, ...header('v') }, body: { return_stock: true, memo: '退款' } });
  assert.equal(voided.data?.status, 'VOIDED');
  refused(await api.POST('/api/v1/redemptions', { params: header('late'), body: { voucher_id: id, order_amount: '10000' } }), 422, 'VOUCHER_VOIDED');
});

test('the vouchers of a user come in pages, the newest first', async () => {
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const { data } = await api.GET('/api/v1/vouchers', { params: { query: { user_type: 'ALIPAY', user: '2088302001456115', limit: 2, cursor } } });
    seen.push(...data!.vouchers.map(v => v.id));
    cursor = data!.next_cursor;
  } while (cursor);
  assert.ok(seen.length >= 3);
  assert.deepEqual(seen, [...seen].sort((a, b) => Number(BigInt(b) - BigInt(a))));
});

test('a token does what its scopes permit', async () => {
  const path = { id: '1' };
  refused(await clientWith('fqt_nobody').GET('/api/v1/vouchers/{id}', { params: { path } }), 401, 'TOKEN_UNKNOWN');
  const reader = clientWith(world.api_token_query);
  refused(await reader.GET('/api/v1/vouchers/{id}', { params: { path } }), 404, 'VOUCHER_NOT_FOUND');
  refused(await reader.POST('/api/v1/redemptions', { params: header('k'), body: { voucher_id: '1' } }), 403, 'SCOPE_MISSING');
});
