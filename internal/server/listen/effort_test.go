package listen

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// working returns connections that share one turn at a time.
func working(n int) []*Conn {
	all := make([]*Conn, n)
	shared := &turns{always: make(chan struct{}, 1)}
	for i := range all {
		all[i] = &Conn{effort: effort{turns: shared}}
	}
	return all
}

func TestSpendLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := working(2)
		began := time.Now()
		c[0].Spend(t.Context(), freeEffort+1)
		c[1].Spend(t.Context(), freeEffort)
		if time.Since(began) > 0 {
			t.Error("who has done little waited for a turn")
		}
		c[1].Spend(t.Context(), 1)
		if time.Since(began) == 0 {
			t.Error("who has done much did not wait")
		}
		c[1].effort.rested()
		c[0].Spend(t.Context(), turnEffort)
		began = time.Now()
		c[1].Spend(t.Context(), freeEffort)
		if time.Since(began) > 0 {
			t.Error("a wait for input has not begun anew")
		}
		c[0].Pause()
	})
}

func TestTurnsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := working(4)
		c[0].Spend(t.Context(), freeEffort+1)
		order := make(chan int, 6)
		for i := 1; i < 4; i++ {
			go func() {
				for range 2 {
					c[i].Spend(t.Context(), freeEffort+turnEffort+1)
					order <- i
				}
				c[i].Pause()
			}()
			synctest.Wait()
		}
		c[0].Pause()
		synctest.Wait()
		for _, want := range []int{1, 2, 3, 1, 2, 3} {
			if got := <-order; got != want {
				t.Fatalf("the turn of %d, want that of %d", got, want)
			}
		}
		if len(c[0].effort.turns.always) != 0 {
			t.Error("a turn was not given back")
		}
	})
}

func TestTurnEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := working(2)
		c[0].Spend(t.Context(), freeEffort+1)
		began := time.Now()
		c[1].Spend(t.Context(), freeEffort+1)
		if waited := time.Since(began); waited != turnTime {
			t.Errorf("a turn that was not used lasted %s, want %s", waited, turnTime)
		}
		c[0].Pause() // of a turn that is over: that of another stays
		if len(c[1].effort.turns.always) != 1 {
			t.Error("a turn was given back twice")
		}
		c[1].Pause()
	})
}

// TestTurnsInCalm: the last processor is for those who work hard while nobody else has come for some time.
func TestTurnsInCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := working(3)
		c[0].effort.turns.inCalm = make(chan struct{}, 1)
		began := time.Now()
		c[0].Spend(t.Context(), freeEffort+1)
		c[1].Spend(t.Context(), freeEffort+1)
		if time.Since(began) > 0 {
			t.Error("a processor is not used in calm")
		}
		c[0].Pause()
		c[1].Pause()
		c[2].Spend(t.Context(), 1)
		c[2].effort.rested()
		c[0].Spend(t.Context(), freeEffort+1)
		began = time.Now()
		c[1].Spend(t.Context(), freeEffort+1)
		if time.Since(began) != turnTime {
			t.Error("no processor is left for those with little to do")
		}
		time.Sleep(calm)
		c[0].Pause()
		c[0].effort.rested() // who works hard does not count
		c[0].Spend(t.Context(), freeEffort+1)
		began = time.Now()
		c[1].Spend(t.Context(), turnEffort)
		c[1].Pause()
		c[0].Pause()
		if time.Since(began) > 0 {
			t.Error("calm does not come back")
		}
	})
}

func TestSpendEndsWithContext(t *testing.T) {
	c := working(2)
	c[0].effort.turns.always <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c[1].Spend(ctx, freeEffort+1)
	c[1].Pause()
	if len(c[0].effort.turns.always) != 1 {
		t.Error("a turn that nobody had was given back")
	}
}

// TestBlockedWriteGivesTurn: who does not read keeps nobody else from a turn, and gets all in the end.
func TestBlockedWriteGivesTurn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	raw, err := accepted.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	c := working(1)[0]
	c.effort.turn = &turn{of: c.effort.turns.always, timer: time.NewTimer(time.Hour)}
	c.effort.turns.always <- struct{}{}
	w := newWire(accepted.(*net.TCPConn), raw, &c.effort)
	const size = 16 << 20
	wrote := make(chan error, 1)
	go func() {
		n, err := w.Write(make([]byte, size))
		if n != size {
			err = errors.Join(err, io.ErrShortWrite)
		}
		accepted.(*net.TCPConn).CloseWrite()
		wrote <- err
	}()
	select {
	case c.effort.turns.always <- struct{}{}:
	case err := <-wrote:
		t.Fatalf("16 MiB did not block: %v", err)
	case <-time.After(10 * time.Second):
		t.Fatal("the turn was kept")
	}
	if n, err := io.Copy(io.Discard, peer); n != size || err != nil {
		t.Errorf("the peer got %d octets, %v", n, err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}
