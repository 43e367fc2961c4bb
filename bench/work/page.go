package work

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echobun/echobun/bench/data"
	"github.com/echobun/echobun/bench/measure"
)

// Clients are the numbers of clients that ask for pages at once.
var Clients = []int{1, 8, 64}

// On is what a group of pages is called.
func On(set string, clients int) string {
	if clients == 1 {
		return set + ", 1 client"
	}
	return fmt.Sprintf("%s, %d clients", set, clients)
}

// page measures pages over loopback connections. The clients are in this
// process, and they are as plain as can be: what they cost is in every figure.
func (e *Env) page(ctx context.Context, set data.Set, stores []store) (groups []Group, err error) {
	servers := make([]*server, 0, len(stores))
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.close())
		}
	}()
	for _, s := range stores {
		srv, err := listen(ctx, s)
		if err != nil {
			return nil, err
		}
		servers = append(servers, srv)
	}
	for _, clients := range Clients {
		var cases []measure.Case
		for i, s := range stores {
			crowd, err := dial(ctx, servers[i].addr, clients)
			if err != nil {
				return nil, err
			}
			defer crowd.close() //nolint:revive // A few connections, until all are measured.
			cases = append(cases, measure.Case{Name: s.name, Run: crowd.run, Latencies: crowd.latencies})
		}
		g, err := e.group(Page, On(set.Name, clients), e.plan(3, 6, 20*time.Millisecond), cases)
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// A server serves a store's routes on a loopback port.
type server struct {
	http *http.Server
	addr string
	done chan error
}

func listen(ctx context.Context, s store) (*server, error) {
	e := echo.New()
	s.Routes(e)
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	srv := &server{http: &http.Server{Handler: e, ReadHeaderTimeout: time.Minute}, addr: ln.Addr().String(), done: make(chan error, 1)}
	go func() { srv.done <- srv.http.Serve(ln) }()
	return srv, nil
}

func (s *server) close() error {
	err := s.http.Close()
	if serveErr := <-s.done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// A crowd is clients that each wait for an answer before they ask again.
type crowd struct{ clients []*client }

func dial(ctx context.Context, addr string, n int) (*crowd, error) {
	c := &crowd{}
	for i := range n {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			c.close()
			return nil, err
		}
		c.clients = append(c.clients, &client{conn: conn, r: bufio.NewReader(conn), i: int64(i * 37)})
	}
	return c, nil
}

func (c *crowd) close() {
	for _, cl := range c.clients {
		_ = cl.conn.Close()
	}
}

// run asks for n pages, each client for its share.
func (c *crowd) run(n int) error {
	errs := make([]error, len(c.clients))
	var wg sync.WaitGroup
	for i, cl := range c.clients {
		share := n / len(c.clients)
		if i < n%len(c.clients) {
			share++
		}
		wg.Go(func() { errs[i] = cl.ask(share) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (c *crowd) latencies() []time.Duration {
	var all []time.Duration
	for _, cl := range c.clients {
		all = append(all, cl.took...)
		cl.took = cl.took[:0]
	}
	return all
}

// A client has one connection that stays open.
type client struct {
	conn net.Conn
	r    *bufio.Reader
	i    int64
	took []time.Duration
}

func (c *client) ask(n int) error {
	for range n {
		start := time.Now()
		if err := c.get(spread(c.i, data.Visitors)); err != nil {
			return err
		}
		c.took = append(c.took, time.Since(start))
		c.i++
	}
	return nil
}

func (c *client) get(id int64) error {
	if _, err := fmt.Fprintf(c.conn, "GET /page/%d HTTP/1.1\r\nHost: localhost\r\n\r\n", id); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // It is read to its end.
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || n < 1000) {
		err = fmt.Errorf("%w: %s with %d bytes", errShort, resp.Status, n)
	}
	return err
}
