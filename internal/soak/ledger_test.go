package soak

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// A kind is what a request does.
type kind byte

const (
	reads kind = iota
	plain
	inTx
	inTwoPhases
	whole
	failing
	kinds
)

func (k kind) String() string {
	return [...]string{"read", "plain", "tx", "two", "atomic", "fail"}[k]
}

// A ledger is what one client was told of its requests, two bytes for each, in a
// file: in memory it would grow.
type ledger struct {
	client int64
	path   string
	out    *bufio.Writer
	file   *os.File
}

func newLedger(t *testing.T, client int64) *ledger {
	t.Helper()
	l := &ledger{client: client, path: filepath.Join(t.TempDir(), strconv.FormatInt(client, 10))}
	var err error
	l.file, err = os.Create(l.path)
	require.NoError(t, err)
	l.out = bufio.NewWriter(l.file)
	return l
}

// id is what the request at a position writes.
func (l *ledger) id(position int64) int64 { return l.client<<32 | position }

func (l *ledger) note(k kind, status int) error {
	answer := byte('?')
	switch status {
	case http.StatusOK, http.StatusCreated:
		answer = 'y'
	case http.StatusConflict, http.StatusInternalServerError:
		answer = 'n'
	}
	_, err := l.out.Write([]byte{byte(k), answer})
	return err
}

// requireTruth compares the ledger with the rows. It returns how many requests
// have written what they were to write.
func (l *ledger) requireTruth(ctx context.Context, t *testing.T, s *site) (written int) {
	t.Helper()
	require.NoError(t, l.out.Flush())
	require.NoError(t, l.file.Close())
	told, err := os.ReadFile(l.path)
	require.NoError(t, err)
	rows := make([]byte, len(told)/2) // A bit for each bind.
	session, err := s.sound.Session(ctx)
	require.NoError(t, err)
	for bind, model := range models() {
		var ids []int64
		require.NoError(t, session.NewSelect().Model(model).Column("id").
			Where("id BETWEEN ? AND ?", l.id(0), l.id(int64(len(rows)))).Scan(ctx, &ids))
		for _, id := range ids {
			rows[id-l.id(0)] |= 1 << bind
		}
	}
	for i, there := range rows {
		k, answer := kind(told[2*i]), told[2*i+1]
		require.Truef(t, agrees(k, answer, there), "GRAVE: client %d, request %d: %s was told %c, and there is %03b", l.client, i, k, answer, there)
		if there == 0b111 {
			written++
		}
	}
	return written
}

// agrees reports whether the rows are what a client could expect.
func agrees(k kind, answer, there byte) bool {
	const all = 0b111
	switch {
	case k == reads || k == failing:
		return there == 0
	case answer == 'y':
		return there == all
	case k == plain:
		return true // Each of its statements commits by itself.
	case answer == 'n':
		return there == 0
	case k == inTwoPhases:
		return there == 0 || there == all
	}
	return true
}
