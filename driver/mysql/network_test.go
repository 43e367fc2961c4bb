package mysql_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// listen accepts connections and hands them to serve, which may be nil.
func listen(tb testing.TB, serve func(net.Conn)) string {
	tb.Helper()
	return listenOn(tb, "127.0.0.1:0", serve)
}

func listenOn(tb testing.TB, address string, serve func(net.Conn)) string {
	tb.Helper()
	ln, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", address)
	require.NoError(tb, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			if serve != nil {
				wg.Go(func() { serve(c) })
			}
		}
	})
	tb.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return ln.Addr().String()
}

// balance forwards connections from an address to first, and later to whatever
// address its function is called with.
func balance(tb testing.TB, first string) (addr string, to func(string)) {
	tb.Helper()
	var upstream atomic.Pointer[string]
	upstream.Store(&first)
	return listen(tb, func(c net.Conn) { forward(c, *upstream.Load()) }), func(s string) { upstream.Store(&s) }
}

// forward copies bytes between c and upstream until both are closed.
func forward(c net.Conn, upstream string) {
	s, err := net.Dial("tcp", upstream)
	if err != nil {
		_ = c.Close()
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(c, s)
		_ = c.Close()
	})
	_, _ = io.Copy(s, c)
	_ = s.Close()
	back.Wait()
}
