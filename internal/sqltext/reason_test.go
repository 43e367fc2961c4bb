package sqltext_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	_ "github.com/echobun/echobun/driver/mysql"
	_ "github.com/echobun/echobun/driver/pgx"
	"github.com/echobun/echobun/internal/sqltext"
)

// retold is an error that tells of another in its own words.
type retold struct {
	text  string
	inner error
}

func (r retold) Error() string { return r.text }
func (r retold) Unwrap() error { return r.inner }

func TestReason(t *testing.T) {
	t.Parallel()
	german := &pgconn.PgError{Severity: "FEHLER", Code: "22P02", Message: "ungültig: »s3cr3t«"}
	const said = "ERROR: invalid text representation (SQLSTATE 22P02)"
	entry := &gomysql.MySQLError{Number: 1062, SQLState: [5]byte([]byte("23000")), Message: "Eintrag 's3cr3t' doppelt"}
	const entrySaid = "Error 1062 (23000): duplicate entry"
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("not enough money"), "not enough money"},
		{errors.New(`user "s3cr3t" is unknown`), "user ? is unknown"},
		{german, said},
		{fmt.Errorf("load it: %w", german), "load it: " + said},
		{fmt.Errorf("load %q: %w, of %q", "s3cr3t", german, "s3cr3t"), "load ?: " + said + ", of ?"},
		{errors.Join(german, errors.New("'s3cr3t'"), entry), said + "\n?\n" + entrySaid},
		{fmt.Errorf("%w; %w; %w", german, entry, german), said + "; " + entrySaid + "; " + said},
		{retold{"the server says s3cr3t", german}, said},
		{fmt.Errorf("%w: %w", entry, retold{"s3cr3t", german}), said},
		{errors.New("unknown type: " + german.Error()), "unknown type: FEHLER: ungültig: ? (SQLSTATE 22P02)"},
	} {
		require.Equal(t, test.want, sqltext.Reason(test.err))
	}
	require.Less(t, len(sqltext.Reason(errors.New(strings.Repeat("ü", 1<<20)))), 10_000)
}
