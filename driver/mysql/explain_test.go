package mysql_test

import (
	"errors"
	"testing"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
)

// TestExplain has messages of servers in several languages, and of triggers.
func TestExplain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		number               uint16
		state, message, want string
	}{
		{1062, "23000", "Duplicate entry 's3cr3t' for key 'name'", "Error 1062 (23000): Duplicate entry ?"},
		{1062, "23000", "Doppelter Eintrag 's3cr3t' für Schlüssel 'name'", "Error 1062 (23000): duplicate entry"},
		{1366, "22007", "Incorrect integer value: 's3cr3t' for column `a`.`b`.`c` at row 17", "Error 1366 (22007): Incorrect integer value: ? at row ?"},
		{1366, "22007", "Incorrect integer value: 's3cr3t and it was cut", "Error 1366 (22007): Incorrect integer value: ?"},
		{1406, "22001", "Data too long for column 'name' at row 1", "Error 1406 (22001): Data too long for column ? at row ?"},
		{1205, "HY000", "Lock wait timeout exceeded; try restarting transaction", "Error 1205 (HY000): lock wait timeout"},
		{1213, "40001", "Deadlock found when trying to get lock; try restarting transaction", "Error 1213 (40001): deadlock"},
		{1644, "45000", "no value for s3cr3t", "Error 1644 (45000): raised by SIGNAL"},
		{1062, "45000", "no value for s3cr3t", "Error 1062 (45000): raised by SIGNAL"},
		{9999, "HY000", "kein Wert für s3cr3t", "Error 9999 (HY000): error of the server"},
		{1054, "", "Неизвестный столбец «s3cr3t»", "Error 1054: unknown column"},
	} {
		server := &gomysql.MySQLError{Number: test.number, Message: test.message}
		copy(server.SQLState[:], test.state)
		got, ok := explainer().Explain(server)
		require.True(t, ok)
		require.Equal(t, test.want, got)
	}
	_, ok := explainer().Explain(errors.New("another"))
	require.False(t, ok)
}

func explainer() driver.Explainer {
	e, _ := driver.Drivers()["mysql"].(driver.Explainer)
	return e
}
