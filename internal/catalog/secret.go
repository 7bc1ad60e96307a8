package catalog

import (
	"faquan/internal/benefit"
	"faquan/internal/seal"
)

// AppSecret returns the opened secret of an app on TOP; "" when it has none. Errors wrap those of package seal.
func AppSecret(a *benefit.App, box *seal.Box) (string, error) {
	if len(a.AppSecret) == 0 {
		return "", nil
	}
	opened, err := box.Open(a.AppSecret, appSecret(a.ID))
	return string(opened), err
}
