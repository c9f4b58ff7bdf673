package directory

import (
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"candor/internal/mail"
)

// TestKeyHoldsEverything changes each field of a decision in turn: rule C-3 wants another key for
// every one. A field of a kind that the test does not know fails it too.
func TestKeyHoldsEverything(t *testing.T) {
	c := newCache()
	d := decision{"example.org", "alice", 7, IMAP, plainFamily, 1, 2, 3, 4, "", []byte("secret")}
	base := c.key(&d)
	if c.key(&d) != base {
		t.Fatal("the key of one decision is not the same each time")
	}
	v := reflect.ValueOf(&d).Elem()
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		old := reflect.ValueOf(f.Interface())
		switch f.Kind() {
		case reflect.String:
			f.SetString(f.String() + "x")
		case reflect.Uint64:
			f.SetUint(f.Uint() + 1)
		case reflect.Slice:
			f.SetBytes([]byte("Secret"))
		default:
			t.Fatalf("%s is a %s: teach the key and this test about it", name, f.Kind())
		}
		if c.key(&d) == base {
			t.Errorf("%s is not in the key", name)
		}
		f.Set(old)
	}
	if c.key(&d) != base {
		t.Error("the test did not restore what it changed")
	}
	if newCache().key(&d) == base {
		t.Error("another process has the same keys")
	}
}

// TestKeyFieldsDoNotRunTogether moves an octet from each text to its neighbour (rule C-4).
func TestKeyFieldsDoNotRunTogether(t *testing.T) {
	c := newCache()
	for _, pair := range [][2]decision{
		{{Realm: "ab", Login: "c"}, {Realm: "a", Login: "bc"}},
		{{Service: "ab", Family: "c"}, {Service: "a", Family: "bc"}},
		{{Rule: "ab", Secret: []byte("c")}, {Rule: "a", Secret: []byte("bc")}},
		{{Login: "alice:example.test:"}, {Login: "alice@example.test::"}},
	} {
		if c.key(&pair[0]) == c.key(&pair[1]) {
			t.Errorf("%+v and %+v share a key", pair[0], pair[1])
		}
	}
}

func testDecision(i int) *decision {
	return &decision{Account: mail.AccountID(i), Login: fmt.Sprint(i), Secret: []byte("secret")}
}

func TestCacheExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache()
		c.add(testDecision(1))
		time.Sleep(cacheMaxAge - time.Second)
		c.add(testDecision(1)) // does not live longer for it
		c.add(testDecision(2))
		if !c.holds(testDecision(1)) {
			t.Error("an entry did not last")
		}
		time.Sleep(time.Second)
		if c.holds(testDecision(1)) || !c.holds(testDecision(2)) {
			t.Error("an entry lasts for an hour, no longer")
		}
		c.add(testDecision(3))
		if len(c.entries) != 2 || c.order.Len() != 2 {
			t.Errorf("%d entries, %d in order; want 2: the expired one is dropped", len(c.entries), c.order.Len())
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache()
	for i := range maxCached + 10 {
		c.add(testDecision(i))
	}
	if len(c.entries) != maxCached || c.order.Len() != maxCached {
		t.Errorf("%d entries, %d in order; want %d", len(c.entries), c.order.Len(), maxCached)
	}
	if c.holds(testDecision(9)) || !c.holds(testDecision(10)) || !c.holds(testDecision(maxCached+9)) {
		t.Error("the oldest have to go first")
	}
}

// TestCacheComparesAgain puts an entry under another's key, as a fault in the making of keys would.
func TestCacheComparesAgain(t *testing.T) {
	c := newCache()
	c.add(testDecision(1))
	c.entries[c.key(testDecision(2))] = c.entries[c.key(testDecision(1))]
	if c.holds(testDecision(2)) {
		t.Error("another account's entry was believed")
	}
	var s Stats
	if c.stats(&s); s.CacheKeyMismatches != 1 {
		t.Errorf("%d alarms, want 1", s.CacheKeyMismatches)
	}
}
