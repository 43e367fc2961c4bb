package pgx_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/dbtest"
)

// What another driver's URL says is refused with what to say here, and not sent
// to a server that does not know it.
func TestParametersOfOtherDrivers(t *testing.T) {
	t.Parallel()
	for query, hint := range map[string]string{
		"pgbouncer=true":                    "pgbouncer",
		"schema=public":                     "search_path",
		"connection_limit=5":                "MaxOpenConns",
		"sslaccept=strict":                  "sslmode",
		"serverVersion=15":                  "which version",
		"charset=utf8":                      "UTF-8",
		"client_encoding=latin1":            "UTF-8",
		"options=-c client_encoding=LATIN1": "UTF-8",
		"ssl-mode=REQUIRED":                 "sslmode",
		"ssl_ca=x":                          "sslrootcert",
		"currentSchema=x":                   "search_path",
		"somethingOfNobody=1":               "no such parameter",
		"unix_socket=/run/x":                "host=",
		"prepared_statement_cache_size=0":   "not prepared",
	} {
		parameters, err := url.ParseQuery(query)
		require.NoError(t, err)
		_, err = pgxDriver(t).Connector(withPassword(&driver.URL{Host: "h", Query: parameters}, "s3cr3t"), driver.Options{})
		require.ErrorContains(t, err, hint, query)
		require.ErrorContains(t, err, "pgx: parameter", query)
	}
	for _, query := range []string{
		"client_encoding=utf8", "client_encoding='UTF-8'", "datestyle=ISO", "TimeZone=UTC", "Search_Path=x", "my.Setting=1",
		"options=-c search_path=x", "options=-c client_encoding=UTF8",
	} {
		parameters, err := url.ParseQuery(query)
		require.NoError(t, err)
		_, err = pgxDriver(t).Connector(&driver.URL{Host: "h", Query: parameters}, driver.Options{})
		require.NoError(t, err, query)
	}
}

// In a database of another encoding text is what it is, or refused.
func TestTextInALatin1Database(t *testing.T) {
	t.Parallel()
	server := dbtest.StartPostgres(t)
	exec(t, open(t, server.URL(), ""), "CREATE DATABASE old ENCODING LATIN1 TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
	u, err := driver.ParseURL(server.URL())
	require.NoError(t, err)
	u.Database = "old"
	c, err := pgxDriver(t).Connector(u, driver.Options{})
	require.NoError(t, err)
	db := openConnector(t, c)
	exec(t, db, "CREATE TABLE t (text varchar(4))")
	_, err = db.NewInsert().Table("t").Model(&map[string]any{"text": "näé "}).Exec(t.Context())
	require.NoError(t, err)
	var length int
	var text string
	require.NoError(t, db.NewSelect().Table("t").ColumnExpr("text, length(text)").Where("text = ?", "näé ").Scan(t.Context(), &text, &length))
	require.Equal(t, "näé ", text)
	require.Equal(t, 4, length, "letters, not bytes")
	_, err = db.NewInsert().Table("t").Model(&map[string]any{"text": "🎉"}).Exec(t.Context())
	require.ErrorContains(t, err, "LATIN1")
}
