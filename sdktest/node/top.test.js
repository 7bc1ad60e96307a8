// The cases of ../top-cases.json, which every client of TOP runs, and what they cannot say.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import test from 'node:test';
import { at, cases, client, refusalOf, sdkName, world } from './top-client.js';

async function call(step, secret = world.app_secret) {
  const send = client(step.app_key ?? world.app_key, secret);
  const params = { ...step.params };
  if (step.session) params.session = step.session;
  return send(step.method, params);
}

/** Runs the program as its operator does; throws unless it succeeds. */
function operate(args, answers) {
  const texts = args.map(arg => {
    const [, step, path] = /^@(\d+):(.*)$/.exec(arg) ?? [];
    return path ? at(answers[step], path) : arg;
  });
  execFileSync(world.program, texts, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Holds one member to what the case says of it; ../README.md has the notation. */
function checkMember(answers, path, want, what) {
  const got = at(answers.at(-1), path);
  const [, kind, step, other] = /^([@!])(\d+):(.*)$/.exec(want) ?? [];
  if (want === null) assert.equal(got, undefined, `${what}: ${path}`);
  else if (kind === '@') assert.deepEqual(got, at(answers[step], other), `${what}: ${path}`);
  else if (kind === '!') assert.notDeepEqual(got, at(answers[step], other), `${what}: ${path}`);
  else if (typeof want === 'string' && want.startsWith('~')) assert.match(got, new RegExp(want.slice(1), 'u'), `${what}: ${path}`);
  else if (typeof want === 'number' && !Number.isSafeInteger(want)) assert.equal(Number(got), want, `${what}: ${path}`); // topsdk makes texts of such
  else assert.strictEqual(got, want, `${what}: ${path}`);
}

async function checkRefusal(step, promise, what) {
  await assert.rejects(promise, error => {
    const refusal = refusalOf(error);
    assert.equal(refusal.code, step.error.code, what);
    assert.equal(refusal.sub_code, step.error.sub_code, what);
    if (step.error.sub_msg && refusal.sub_msg) assert.ok(refusal.sub_msg.includes(step.error.sub_msg), what);
    return true;
  });
}

for (const { name, steps } of cases) {
  test(`${sdkName}: ${name}`, async () => {
    const answers = [];
    for (const [n, step] of steps.entries()) {
      if (step.faquan) {
        operate(step.faquan, answers);
        answers.push(undefined);
        continue;
      }
      const what = `step ${n}: ${step.method} ${JSON.stringify(step.params)}`;
      if (step.error) {
        await checkRefusal(step, call(step), what);
        answers.push(undefined);
        continue;
      }
      answers.push(await call(step));
      for (const [path, want] of Object.entries(step.answer)) {
        checkMember(answers, path, want, `${what} was answered ${JSON.stringify(answers.at(-1))}`);
      }
    }
  });
}

test(`${sdkName}: a wrong secret is refused`, async () => {
  await checkRefusal({ error: { code: 25 } }, call({ method: 'taobao.time.get' }, 'not-the-secret'), 'wrong secret');
});

test(`${sdkName}: eight calls at once with one unique_id are one benefit`, async () => {
  const request = {
    benefit_type: 1, send_count: 1, unique_id: 'crowd-1', relation_id: 12345234, purchaser_id: '2203102002536848287',
    detail_id: '9007199254740995', trace_id: '人群', biz_id: '12457112',
  };
  const step = { method: 'taobao.mobile.promotion.benefit.activity.send', session: 'session-bob', params: { single_benefit_request: request } };
  const answers = await Promise.all(Array.from({ length: 8 }, () => call(step)));
  for (const answer of answers) assert.deepEqual(answer.send_result, answers[0].send_result);
  assert.equal(answers[0].send_result.is_success, true);
});
