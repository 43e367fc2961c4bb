package wire_test

import (
	"bytes"
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/wire"
)

func TestOutcomeUnknown(t *testing.T) {
	t.Parallel()

	require.NoError(t, wire.OutcomeUnknown(nil))

	err := wire.OutcomeUnknown(io.ErrUnexpectedEOF)
	require.True(t, wire.IsOutcomeUnknown(err))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.False(t, wire.IsOutcomeUnknown(io.ErrUnexpectedEOF))

	err = wire.OutcomeUnknown(errors.Join(sqldriver.ErrBadConn))
	require.NotErrorIs(t, err, sqldriver.ErrBadConn, "database/sql would send the statement again")
	require.True(t, wire.IsOutcomeUnknown(errors.Join(io.EOF, err)))
}

func TestCommitTimeout(t *testing.T) {
	t.Parallel()

	ctx := t.Context()
	require.Equal(t, wire.DefaultCommitTimeout, wire.CommitTimeout(ctx))
	require.Equal(t, time.Second, wire.CommitTimeout(wire.WithCommitTimeout(ctx, time.Second)))
	require.Equal(t, wire.DefaultCommitTimeout, wire.CommitTimeout(wire.WithCommitTimeout(ctx, -1)))

	detached := context.WithoutCancel(wire.WithCommitTimeout(ctx, time.Minute))
	require.Equal(t, time.Minute, wire.CommitTimeout(detached))
}

func TestLoopback(t *testing.T) {
	t.Parallel()

	for host, want := range map[string]bool{
		"":                    true,
		"localhost":           true,
		"LocalHost":           true,
		"127.0.0.1":           true,
		"127.8.9.1":           true,
		"::1":                 true,
		"[::1]":               true,
		"/var/run/postgresql": true,
		"@socket":             true,
		"192.0.2.1":           false,
		"0.0.0.0":             false,
		"db.example":          false,
		"localhost.example":   false,
		"2001:db8::1":         false,
	} {
		require.Equal(t, want, wire.Loopback(host), "%q", host)
	}
}

func TestInsecureWarning(t *testing.T) {
	t.Parallel()

	var out bytes.Buffer
	w := &wire.InsecureWarning{Bind: "auth", Logger: slog.New(slog.NewTextHandler(&out, nil))}
	w.Check("localhost", false, "use TLS")
	w.Check("db.example", true, "use TLS")
	require.Empty(t, out.String())

	w.Check("db.example", false, "use TLS")
	w.Check("other.example", false, "use TLS")
	require.Equal(t, 1, strings.Count(out.String(), "\n"), "it warns once")
	require.Contains(t, out.String(), "bind=auth")
	require.Contains(t, out.String(), "db.example")
	require.Contains(t, out.String(), "use TLS")
}
