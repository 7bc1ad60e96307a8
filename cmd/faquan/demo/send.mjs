// One voucher, by the platform's own SDK. Run it twice: the second answer is the first one's voucher.
import { readFileSync } from 'node:fs';
import { AlipaySdk } from 'alipay-sdk';

const sdk = new AlipaySdk({
  gateway: '{{.URL}}/gateway.do',
  appId: '{{.AppID}}',
  keyType: 'PKCS8',
  privateKey: readFileSync('app_private.pem', 'utf8'),
  alipayPublicKey: readFileSync('gateway_public.pem', 'utf8'),
});

const answer = await sdk.exec('alipay.marketing.voucher.send', {
  bizContent: { template_id: 'DEMO-TEN-OFF', user_id: '2088000000000099', out_biz_no: 'from-the-sdk' },
}, { validateSign: true });
console.log(answer);
