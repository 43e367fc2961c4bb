package pgx_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestNonconformingStringsInURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key, value string
		ok         bool
	}{
		{key: "standard_conforming_strings", value: "off"},
		{key: "standard_conforming_strings", value: "FALSE"},
		{key: "standard_conforming_strings", value: "no"},
		{key: "standard_conforming_strings", value: "0"},
		{key: "Standard_Conforming_Strings", value: "of"},
		{key: "standard_conforming_strings", value: "on", ok: true},
		{key: "standard_conforming_strings", value: "True", ok: true},
		{key: "standard_conforming_strings", value: "y", ok: true},
		{key: "standard_conforming_strings", value: "1", ok: true},
		{key: "options", value: "-c standard_conforming_strings=off"},
		{key: "options", value: "-cstandard_conforming_strings=off"},
		{key: "options", value: "--standard-conforming-strings=off"},
		{key: "options", value: `-c\ standard_conforming\_strings=o\ff`},
		{key: "options", value: "-c STANDARD_CONFORMING_STRINGS=off"},
		{key: "options", value: "-c standard_conforming_strings=on\t-c standard_conforming_strings=off"},
		{key: "options", value: "-c standard_conforming_strings"},
		{key: "options", value: "-c standard_conforming_strings=on\t-c work_mem=5MB", ok: true},
		{key: "options", value: "-c search_path=shop", ok: true},
	} {
		t.Run(c.key+" "+c.value, func(t *testing.T) {
			t.Parallel()
			u := &driver.URL{Scheme: "postgresql", Host: "localhost", Query: url.Values{c.key: {c.value}}}
			_, err := pgxDriver(t).Connector(u, driver.Options{})
			if c.ok {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "injectable")
			}
		})
	}
}

func TestNonconformingStringsOnServer(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t)
	db := open(t, s.URL(), "")
	exec(t, db, "ALTER DATABASE "+s.Database+" SET standard_conforming_strings = off")
	c, err := connector(t, s.URL(), "", driver.Options{})
	require.NoError(t, err)
	_, err = c.Connect(t.Context())
	require.NoError(t, closeConnector(c))
	require.ErrorContains(t, err, "standard_conforming_strings is off")
	exec(t, open(t, s.URL(), "standard_conforming_strings=on"), "SELECT 1")
}

// A session that switches it off runs nothing more, and nobody else gets it.
func TestNonconformingStringsInSession(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE notes (text text)")
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	pid := backend(t.Context(), t, c)
	exec(t, c, "SET standard_conforming_strings = off")
	payload := `\'); DROP TABLE notes; --`
	_, err = c.ExecContext(t.Context(), "INSERT INTO notes VALUES (?)", payload)
	require.ErrorContains(t, err, "standard_conforming_strings is off")
	_, err = c.PrepareContext(t.Context(), "SELECT 1") //nolint:sqlclosecheck // There is none.
	require.ErrorContains(t, err, "standard_conforming_strings is off")
	require.NoError(t, c.Close())
	require.NotEqual(t, pid, backend(t.Context(), t, db))
	_, err = db.ExecContext(t.Context(), "INSERT INTO notes VALUES (?)", payload)
	require.NoError(t, err)
	require.Equal(t, 1, count(t, db, "notes"))

	// Inside a transaction too; its end gives the parameter its value back.
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	exec(t, tx, "SET LOCAL standard_conforming_strings = off")
	_, err = tx.ExecContext(t.Context(), "INSERT INTO notes VALUES (?)", payload)
	require.ErrorContains(t, err, "standard_conforming_strings is off")
	require.NoError(t, tx.Rollback())
	require.Equal(t, 1, count(t, db, "notes"))
}
