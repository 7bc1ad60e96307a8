// Package sdktest runs github.com/smartwalle/alipay, the Go client of Alipay's open platform that is in most use,
// against a running faquan. It is a module of its own, so that faquan's module does not depend on its clients.
//
// The tests need the world that sdktest/world makes; scripts/test starts them in one.
package sdktest
