module faquan/sdktest/go

go 1.26.0

require (
	github.com/nilorg/go-opentaobao v1.0.0
	github.com/smartwalle/alipay/v3 v3.2.20
)

require (
	github.com/bitly/go-simplejson v0.5.0 // indirect
	github.com/cespare/xxhash/v2 v2.1.1 // indirect
	github.com/dgryski/go-rendezvous v0.0.0-20200823014737-9f7001d12a5f // indirect
	github.com/go-redis/redis/v8 v8.2.2 // indirect
	github.com/nilorg/sdk v0.0.0-20200912025101-a4037e6ee224 // indirect
	github.com/smartwalle/ncrypto v1.0.4 // indirect
	github.com/smartwalle/ngx v1.0.9 // indirect
	github.com/smartwalle/nsign v1.0.9 // indirect
	go.opentelemetry.io/otel v0.11.0 // indirect
)
