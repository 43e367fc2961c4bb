package mysql_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
)

// MySQL takes days that no calendar has. None of them is read as another day.
func TestDaysOfNoCalendar(t *testing.T) {
	t.Parallel()
	db := fresh(t, "strict", "false", "sql_mode", "ALLOW_INVALID_DATES")
	run(t, db, "CREATE TABLE days (id int, day date, at datetime(6), stamp timestamp NULL)")
	for _, day := range []string{"2024-02-30", "2023-02-29", "2024-04-31", "2024-00-15", "2024-05-00", "2024-00-00", "1900-02-29", "0000-00-01"} {
		for column, text := range map[string]string{"day": day, "at": day + " 10:11:12.123456"} {
			run(t, db, "DELETE FROM days", "INSERT INTO days (id, "+column+") VALUES (1, '"+text+"')")
			require.Equal(t, text, value[string](t, db, "SELECT CAST("+column+" AS CHAR) FROM days"))
			for name, args := range map[string][]any{"text": nil, "prepared": {1}} {
				query := "SELECT " + column + ", id FROM days"
				if args != nil {
					query += " WHERE id = ?"
				}
				for _, dest := range []any{new(time.Time), new(string), new(sql.NullTime), new(any)} {
					err := db.DB.QueryRowContext(t.Context(), query, args...).Scan(dest, new(int))
					require.Equal(t, driver.InvalidValue, ours(t).Classify(err), "%s, %s: %v", text, name, err)
					require.ErrorContains(t, err, `column "`+column+`": a day that is on no calendar`)
					require.NotContains(t, err.Error(), day)
				}
			}
		}
	}
	require.Equal(t, 1, value[int](t, db, "SELECT 1"))
}

// The day of zeros is a zero time, as go-sql-driver has it. All others are read
// as they are, whether the statement was prepared or not.
func TestDaysThatAreRead(t *testing.T) {
	t.Parallel()
	for _, parameters := range [][]string{nil, {"loc", "America/Sao_Paulo"}, {"interpolateParams", "true"}} {
		db := fresh(t, append(parameters, "strict", "false", "sql_mode", "ALLOW_INVALID_DATES")...)
		loc := time.UTC
		if len(parameters) > 0 && parameters[0] == "loc" {
			var err error
			loc, err = time.LoadLocation(parameters[1])
			require.NoError(t, err)
		}
		at := func(y int, m time.Month, d, hour, minute, second, nano int) time.Time {
			return time.Date(y, m, d, hour, minute, second, nano, loc)
		}
		for text, want := range map[string]time.Time{
			"0000-00-00 00:00:00.000000": {},
			"2024-02-29 23:59:59.999999": at(2024, 2, 29, 23, 59, 59, 999999000),
			"2000-02-29 00:00:00.000001": at(2000, 2, 29, 0, 0, 0, 1000),
			"9999-12-31 23:59:59.120000": at(9999, 12, 31, 23, 59, 59, 120000000),
			"0001-01-01 00:00:00.000000": at(1, 1, 1, 0, 0, 0, 0),
			"2018-11-04 00:30:00.000000": at(2018, 11, 4, 0, 30, 0, 0), // There is no such time in São Paulo.
		} {
			for cast, cut := range map[string]time.Duration{
				"datetime(6)": time.Microsecond, "datetime(3)": time.Millisecond, "datetime": time.Second, "date": 0,
			} {
				for _, query := range []string{"SELECT CAST('" + text + "' AS " + cast + "), 1", "SELECT CAST('" + text + "' AS " + cast + "), ?"} {
					var args []any
					if query[len(query)-1] == '?' {
						args = append(args, 1)
					}
					var got time.Time
					require.NoError(t, db.DB.QueryRowContext(t.Context(), query, args...).Scan(&got, new(int)))
					kept := want
					switch {
					case want.IsZero():
					case cut == 0:
						require.Equal(t, text[:10], got.Format(time.DateOnly), query)
						require.Less(t, got.Hour(), 2)
						continue
					default:
						kept = want.Truncate(cut)
					}
					require.Equal(t, kept, got, query)
				}
			}
		}
	}
}
