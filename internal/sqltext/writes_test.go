package sqltext_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/sqltext"
)

func TestReturnsOfWrite(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]bool{
		"INSERT INTO t VALUES (1) RETURNING id":                     true,
		"/* who */ insert into t values (1) returning id":           true,
		"-- who\n update t set a = 1 returning id":                  true,
		"MERGE INTO t USING u ON true WHEN MATCHED THEN DO NOTHING": true,
		"REPLACE INTO t VALUES (1) RETURNING id":                    true,
		"CALL p(1)":                                                 true,
		"EXECUTE p(1)":                                              true,
		"EXPLAIN ANALYZE DELETE FROM t":                             true,
		"WITH d AS (delete from t returning *) SELECT * FROM d":     true,
		"SELECT make_order(1)":                                      true,
		"select app.make_order(1), 2":                               true,
		"SELECT * FROM t":                                           false,
		"SELECT count(*) FROM t":                                    false,
		"(SELECT lower(name) FROM t) UNION (SELECT 'a')":            false,
		"SELECT 1":                             false,
		"WITH a AS (SELECT 1) SELECT * FROM a": false,
		`WITH a AS (SELECT 1) SELECT updated_at, "deleted_at" FROM a`: false,
		"VALUES (1)":       false,
		"SHOW TABLES":      false,
		"FETCH 100 FROM c": false,
		"":                 false,
	} {
		require.Equal(t, want, sqltext.ReturnsOfWrite(query), query)
	}
}
