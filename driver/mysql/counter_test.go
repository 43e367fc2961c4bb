package mysql_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver/mysql"
)

func TestCounterHasAKey(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"CREATE TABLE t (`a` int, `n` int AUTO_INCREMENT, PRIMARY KEY (`a`, `n`)) x":         "CREATE TABLE t (`a` int, `n` int AUTO_INCREMENT, PRIMARY KEY (`a`, `n`), KEY (`n`)) x",
		"CREATE TABLE t (`a` int DEFAULT (1), `n` int AUTO_INCREMENT)":                       "CREATE TABLE t (`a` int DEFAULT (1), `n` int AUTO_INCREMENT, KEY (`n`))",
		"CREATE TABLE t (n int AUTO_INCREMENT, CONSTRAINT c CHECK (n > 0))":                  "CREATE TABLE t (n int AUTO_INCREMENT, CONSTRAINT c CHECK (n > 0), KEY (`n`))",
		"CREATE TABLE t (`a` int, `n` int AUTO_INCREMENT, PRIMARY KEY (`N`, `a`))":           "",
		"CREATE TABLE t (`n` int NOT NULL AUTO_INCREMENT PRIMARY KEY)":                       "",
		"CREATE TABLE t (`a` int, `n` int AUTO_INCREMENT, CONSTRAINT `u` UNIQUE (`n`))":      "",
		"CREATE TABLE t (`a` varchar(9) DEFAULT 'AUTO_INCREMENT', PRIMARY KEY (`a`))":        "",
		"CREATE TABLE t (`key` int, `n` int AUTO_INCREMENT, PRIMARY KEY (`key`), KEY k (n))": "",
		"CREATE TABLE t (`n` int AUTO_INCREMENT":                                             "",
	} {
		if want == "" {
			want = query
		}
		require.Equal(t, want, mysql.WithCounterKey(query))
	}
}
