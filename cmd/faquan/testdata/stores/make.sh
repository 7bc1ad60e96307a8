#!/usr/bin/env bash
# Makes the stores in a folder beside this file:
#
#     FAQUAN=PROGRAM ./make.sh URL FOLDER
#
# PROGRAM is the faquan that is to write them. URL is an empty database of a private PostgreSQL server.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
faquan=${FAQUAN:?} url=${1:?} into=$here/${2:?}
work=$(mktemp -d) server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
cp "$here"/catalog-*.yaml "$work"
cd "$work"

start() { # [FLAG…]
	mkfifo log
	"$faquan" serve --data data --listen 127.0.0.1:0 --shutdown-drain 0s "$@" 2>log & server=$!
	exec 3<log
	while read -r line <&3; do
		if [[ $line =~ url=(http://[0-9.:]+) ]]; then base=${BASH_REMATCH[1]}; break; fi
	done
	cat <&3 >/dev/null &
}
stop() { kill "$server"; wait "$server"; server=; exec 3<&-; rm log; }

call() { # FLAG… prints the answer, a refusal as well
	local flags=(--app-id 2014072300007148 --key app_private.pem)
	[[ $1 = --method ]] && flags=(--app-key 12345678 --secret a-secret-of-the-tests)
	{ "$faquan" send --url "$base" "${flags[@]}" "$@" 2>/dev/null || true; } | sed -n '/^←/{n;s/^  //;p}'
}
# ask makes a call twice, and keeps it with the second answer: what the store says ever after.
ask() { call "$@" >/dev/null; asked+=("$(IFS=$'\t'; echo "$*")"); }
answers() { # FILE
	for line in "${asked[@]}"; do
		IFS=$'\t' read -ra flags <<<"$line"
		printf '%s\n%s\n\n' "$line" "$(call "${flags[@]}")"
	done >"$1"
}
asked=()
voucher() { ask --template "$1" --out-biz-no "$2" "${@:3}"; }
decision() { # SCENE REQUEST BIZ TYPE USER
	ask --method alibaba.alsc.upp.right.decisionsend --json "{\"scene_code\":\"$1\",\"request_id\":\"$2\",\"biz_code\":\"$3\",\"trace_id\":\"t-$2\",\"user_type\":\"$4\",\"user_id\":\"$5\"}"
}
benefit() { # SESSION RELATION DETAIL BIZ TYPE COUNT UNIQUE CARD
	ask --method taobao.mobile.promotion.benefit.activity.send --session "$1" --json "{\"benefit_type\":$5,\"send_count\":$6,\"unique_id\":\"$7\",\"relation_id\":$2,\"purchaser_id\":2203102002536848287,\"detail_id\":$3,\"trace_id\":\"t-$7\",\"biz_id\":\"$4\",\"card_type\":\"$8\"}"
}
certificate() { # OUT_ID OPEN_ID BIZ: it has no key, so each call is a new one
	call --method tmall.nrt.certificate.send --session session-alice --json "{\"channel\":7,\"open_id\":\"$2\",\"out_id\":$1,\"biz_code\":\"$3\"}" >/dev/null
}
certificates() { # OPEN_ID
	ask --method tmall.nrt.certificate.query --session session-alice --json "{\"channel\":7,\"open_id\":\"$1\"}"
}

"$faquan" key new app
start --apply catalog-1.yaml
voucher coupon c-1 --user 2088302001456115
voucher coupon c-2 --open-id o-alice
voucher coupon c-3 --login-id 13100000001
voucher coupon c-4 --user 2088302001456115 # more than a user may have
voucher coupon c-5 --user 2088302001456116 # the last of the person
voucher coupon c-6 --user 2088302001456116 # more than a person may have
voucher coupon c-7 --user 2088302001456118 # frozen
voucher cash m-1 --user 2088302001456117 --amount 12.34
voucher cash m-2 --user 2088302001456300 --amount 7.66 # unregistered; the budget is issued
voucher cash m-3 --user 2088302001456117 --amount 0.01
voucher cash-fixed f-1 --user 2088302001456301
voucher cash-random r-1 --user 2088302001456301
voucher cash-random r-2 --user 2088302001456301
voucher cash-random r-3 --user 2088302001456301
voucher discount d-1 --taobao-nick 月下
voucher book k-1 --app-auth-token session-books --user 2088302001456115
voucher book k-2 --app-auth-token session-books --user 2088302001456115
voucher book k-3 --app-auth-token session-books --user 2088302001456302 # not registered
voucher coupon m-1 --user 2088302001456115 # the key of another template
voucher cash m-1 --user 2088302001456117 --amount 1.00 # a key of another request
decision ALL a-1 B ALIPAY 2088302001456117
decision ALL a-2 B MEMBER m-1
decision ALL a-3 B OPEN_ID new-one
decision ALL a-5 B ALIPAY 2088302001456119
decision FIRST i-1 B ALIPAY 2088302001456400
decision STOCK s-1 B ALIPAY 2088302001456401 # two of three: the stock is issued
decision STOCK s-2 B ALIPAY 2088302001456402 # nothing
for n in 1 2 3 4 5 6; do decision WEIGHTED "w-$n" B MEMBER "m-w-$n"; done
benefit session-alice 1 21 b-1 1 2 u-1 game
benefit session-alice 1 21 b-1 1 3 u-2 beauty
benefit session-bob 1 21 b-1 1 1 u-1 beauty # a key of another user
benefit session-bob 1 21 b-1 1 1 u-3 game
benefit session-alice 2 22 b-2 2 5 u-4 game # two of five
benefit session-bob 2 22 b-2 2 1 u-5 game
benefit session-over 1 21 b-1 1 1 u-6 game
certificate 56 o-alice x
certificate 56 o-bob x
certificate 57 o-alice y
certificate 57 o-alice y # within the window, so the same, if the machine is not slow
sleep 1.2
certificate 57 o-alice y # bound again
certificate 56 o-new x
certificate 56 o-new x # no stock
for user in alice bob new; do certificates "o-$user"; done

"$faquan" apply --data data -f catalog-2.yaml
voucher coupon c-8 --user 2088302001456117
voucher coupon c-9 --user 2088302001456200
voucher coupon c-10 --user 2088302001456303
voucher coupon c-11 --user 2088302001456304 # no stock
decision ALL a-4 C ALIPAY 2088302001456117
decision FIRST i-2 B ALIPAY 2088302001456117
voucher book k-4 --app-auth-token session-books --user 2088302001456116 # paused
"$faquan" session new --data data --app reader --merchant acme --user bob --expires 0 --refresh 24h >/dev/null
"$faquan" session revoke --data data "$("$faquan" session new --data data --app reader | sed -n 's/^digest: //p')"
stop

start --apply catalog-3.yaml
decision STOCK s-1 B ALIPAY 2088302001456401 # the third
answers "$into/data.txt"
stop
"$faquan" audit --data data --checksum --json --lookup-every 1 >report.json
jq .meaning report.json >"$into/data.json"
jq -e '.findings == []' report.json >/dev/null
mkdir -p packed/data
cp -r --sparse=always data/journal data/view.db packed/data # without what is not written yet of a segment
tar -C packed -c --sparse --sort=name --owner=0 --group=0 --numeric-owner data | gzip -9n >"$into/data.tar.gz"

"$faquan" migrate-store --from data --to "$url"
start --store "$url"
voucher discount p-1 --user 2088302001456500
decision FIRST p-2 B ALIPAY 2088302001456501
benefit session-bob 1 21 b-1 1 2 p-3 beauty
certificate 57 o-bob z
certificates o-bob
answers "$into/database.txt"
stop
"$faquan" audit --store "$url" --checksum --json --lookup-every 1 >report.json
jq .meaning report.json >"$into/database.json"
jq -e '.findings == []' report.json >/dev/null
pg_dump --inserts --rows-per-insert=1000 --no-owner --no-privileges "$url" | sed '/^\\/d; /^--/d; /^$/d' | gzip -9n >"$into/database.sql.gz"
ls -l "$into"
