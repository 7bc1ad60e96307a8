package embedded

// cache keeps about the last entries that were used, at least limit and at most twice as many. It is two maps: when
// the young one is full it becomes the old one, and what is still used moves over again. There is no list to keep
// in order.
type cache[K comparable, V any] struct {
	limit      int
	young, old map[K]V
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{limit: limit, young: map[K]V{}}
}

func (c *cache[K, V]) get(key K) (V, bool) {
	if v, ok := c.young[key]; ok {
		return v, true
	}
	v, ok := c.old[key]
	if ok {
		c.put(key, v)
	}
	return v, ok
}

func (c *cache[K, V]) put(key K, v V) {
	if len(c.young) >= c.limit {
		c.old, c.young = c.young, make(map[K]V, c.limit)
	}
	c.young[key] = v
}

func (c *cache[K, V]) remove(key K) {
	delete(c.young, key)
	delete(c.old, key)
}
