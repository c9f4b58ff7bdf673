package kv_test

import (
	"context"
	"testing"

	"candor/internal/mailtest"
	"candor/internal/store/kv"
)

func TestDB(t *testing.T) {
	mailtest.TestDB(t, func(t *testing.T, dir string) kv.DB {
		db, err := kv.Open(context.Background(), kv.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return db
	})
}
