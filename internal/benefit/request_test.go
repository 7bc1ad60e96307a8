package benefit

import "testing"

// A request that is used again for another key is looked up under that one.
func TestClaimOfAReusedRequest(t *testing.T) {
	r := &Request{Scope: "s", Key: "a"}
	cat, st := NewCatalogue(1, nil, nil, nil, nil, nil), NewState()
	for _, key := range []string{"a", "b"} {
		r.Key = key
		st.Reset(1)
		if got := st.KeysOf([]*Request{r}, cat).Claims[0].ID; got != ClaimIDOf("s", key) || r.claimOnce() != got {
			t.Errorf("key %s: %s, %s; want %s", key, got, r.claimOnce(), ClaimIDOf("s", key))
		}
	}
}
