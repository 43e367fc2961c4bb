package dbtest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/dbtest"
)

func TestStandby(t *testing.T) {
	t.Parallel()
	k := kinds[0]
	primary := k.start(t, k.conf)
	standby := primary.Standby("work_mem = 5MB")
	require.NotEqual(t, primary.Addr(), standby.Addr())
	require.Equal(t, k.want, k.must(t, standby, k.show), "it has to be configured as its primary is")
	require.Equal(t, "5MB", k.must(t, standby, "SHOW work_mem"))

	k.must(t, primary, "CREATE TABLE t (id int)")
	k.must(t, primary, "INSERT INTO t VALUES (1)")
	require.Eventually(t, func() bool {
		got, err := k.try(t, standby, "SELECT count(*) FROM t")
		return err == nil && got == "1"
	}, 10*time.Second, 10*time.Millisecond)
	_, err := k.try(t, standby, "INSERT INTO t VALUES (2)")
	require.ErrorContains(t, err, "read-only")

	primary.Kill()
	standby.Promote()
	k.must(t, standby, "INSERT INTO t VALUES (2)")
	standby.Kill()
	standby.Start()
	require.Equal(t, "2", k.must(t, standby, "SELECT count(*) FROM t"))
}

func TestStandbyRefused(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		require.ErrorContains(t, dbtest.TryStandby(k.fresh(t)), "only a server of StartPostgres")
	}
	require.ErrorContains(t, dbtest.TryStandby(kinds[1].start(t)), "only a server of StartPostgres")
}
