package kv_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"candor/internal/store/kv"
)

func openBench(b *testing.B) *kv.Engine {
	b.Helper()
	e, err := kv.Open(context.Background(), kv.Options{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	return e
}

// cpuTime is what the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// parallel runs f by 16 goroutines on any number of processors and reports CPU time as well.
func parallel(b *testing.B, f func(n uint64) error) {
	b.Helper()
	b.SetParallelism(8)
	var n atomic.Uint64
	b.ResetTimer()
	before := cpuTime()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := f(n.Add(1)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

func appendBlob(e *kv.Engine, body []byte) (kv.BlobID, error) {
	w, err := e.CreateBlob(context.Background())
	if err != nil {
		return kv.BlobID{}, err
	}
	defer w.Discard()
	if _, err := w.Write(body); err != nil {
		return kv.BlobID{}, err
	}
	return w.Finish()
}

func BenchmarkBlob(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dK", size>>10), func(b *testing.B) {
			e, body := openBench(b), make([]byte, size)
			b.SetBytes(int64(size))
			parallel(b, func(uint64) error { _, err := appendBlob(e, body); return err })
		})
	}
}

func benchKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte("m"), n) }

func BenchmarkCommit(b *testing.B) {
	for _, keys := range []int{3, 3000} {
		b.Run(fmt.Sprintf("%dkeys", keys), func(b *testing.B) {
			e, value := openBench(b), make([]byte, 100)
			parallel(b, func(n uint64) error {
				return e.Update(b.Context(), func(tx kv.Tx) error {
					for i := range keys {
						tx.Set(benchKey(n*uint64(keys)+uint64(i)), value)
					}
					return nil
				})
			})
		})
	}
}

// BenchmarkMessage is what taking in a message costs the store: a blob of 4 KiB and a transaction.
func BenchmarkMessage(b *testing.B) {
	e, body, value := openBench(b), make([]byte, 4<<10), make([]byte, 400)
	parallel(b, func(n uint64) error {
		id, err := appendBlob(e, body)
		if err != nil {
			return err
		}
		return e.Update(b.Context(), func(tx kv.Tx) error {
			if _, err := tx.Get(benchKey(n)); err == nil {
				return fmt.Errorf("message %d is there already", n)
			}
			tx.Set(benchKey(n), value)
			tx.Link(id, benchKey(n))
			return nil
		})
	})
	s := e.Stats()
	b.ReportMetric(float64(s.Records)/float64(s.Groups), "blobs/sync")
}

func BenchmarkReadBlob(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dK", size>>10), func(b *testing.B) {
			e := openBench(b)
			id, err := appendBlob(e, make([]byte, size))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				blob, err := e.OpenBlob(b.Context(), id)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := blob.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
				_ = blob.Close()
			}
		})
	}
}

func BenchmarkView(b *testing.B) {
	e := openBench(b)
	if err := e.Update(b.Context(), func(tx kv.Tx) error { tx.Set(benchKey(1), make([]byte, 100)); return nil }); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		err := e.View(b.Context(), func(r kv.Reader) error {
			_, err := r.Get(benchKey(1))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
