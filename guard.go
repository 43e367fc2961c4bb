package echobun

import (
	"context"
	"database/sql/driver"
	"fmt"
	"log/slog"

	"github.com/echobun/echobun/internal/wire"
)

// This file is for code of the user's that panics, or ends its goroutine, where
// database/sql does not expect it: it would leave a connection that nobody
// gives back, a pool without the goroutine that opens connections, or no process.

// opened is what open answers. Credentials, the callbacks of a TLS
// configuration and log handlers run in it, and database/sql calls it from
// a goroutine of its own, which nothing must end: so it runs in another one.
func (c *connector) opened(ctx context.Context, open func(context.Context) (driver.Conn, error)) (dc driver.Conn, err error) {
	done, returned := make(chan struct{}), false
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = c.unanswered(opConnect, wire.Panicked("what opens a connection", nil)) // Its value may be a secret.
			} else if !returned {
				err = c.unanswered(opConnect, wire.ErrGoexit)
			}
		}()
		dc, err = open(ctx)
		returned = true
	}()
	<-done
	if err != nil {
		return nil, err
	}
	return dc, nil
}

// caught is deferred by what calls the driver: the driver calls what its
// arguments are made of. A panic becomes the error of the statement; what ends
// the goroutine ends the connection too, which nobody would give back.
func (c *conn) caught(query string, returned *bool, err *error) {
	if *returned {
		return
	}
	c.broken = true
	if p := recover(); p != nil { //nolint:revive // This is the deferred function.
		*err = c.refused(operation(query), wire.Panicked("a statement", p))
		return
	}
	_ = c.Close()
}

// Close closes the driver's connection, once.
func (c *conn) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	c.watch.Stop()
	return c.Conn.Close()
}

// CheckNamedValue converts an argument. Its Value, if it has one, is called
// here and not by database/sql, which loses the connection if it panics.
func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	return c.checked(v, c.checker)
}

func (c *conn) checked(v *driver.NamedValue, checker driver.NamedValueChecker) (err error) {
	valuer, ok := v.Value.(driver.Valuer)
	switch {
	case !ok && checker == nil:
		return driver.ErrSkip
	case !ok:
		return checker.CheckNamedValue(v)
	}
	returned := false
	defer c.caughtValue(valuer, &returned, &err)
	if checker != nil {
		err = checker.CheckNamedValue(v)
	} else {
		v.Value, err = driver.DefaultParameterConverter.ConvertValue(v.Value)
	}
	returned = true
	return err
}

// caughtValue is caught for the conversion of an argument, for which nothing
// has been sent yet.
func (c *conn) caughtValue(valuer driver.Valuer, returned *bool, err *error) {
	if *returned {
		return
	}
	if p := recover(); p != nil { //nolint:revive // This is the deferred function.
		*err = c.refused("argument", wire.Panicked(fmt.Sprintf("Value of a %T", valuer), p))
		return
	}
	c.broken = true
	_ = c.Close()
}

// guardedHandler is a log handler that does not panic. Some of what is logged
// is so on goroutines where a panic would end the process, or with locks held.
type guardedHandler struct{ slog.Handler }

func (h guardedHandler) Enabled(ctx context.Context, level slog.Level) (enabled bool) {
	defer func() { _ = recover() }()
	return h.Handler.Enabled(ctx, level)
}

func (h guardedHandler) Handle(ctx context.Context, r slog.Record) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = wire.Panicked("a log handler", p)
		}
	}()
	return h.Handler.Handle(ctx, r)
}

func (h guardedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return guardedHandler{h.Handler.WithAttrs(attrs)}
}

func (h guardedHandler) WithGroup(name string) slog.Handler {
	return guardedHandler{h.Handler.WithGroup(name)}
}
