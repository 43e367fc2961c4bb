package echobun_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// childURL is the variable that makes TestCreateAllChild do something.
const childURL = "ECHOBUN_CHILD_URL"

// racedModels have all that takes several statements: indexes, foreign keys, a circle.
func racedModels() []any {
	models := []any{keyed("hen", "egg"), keyed("egg", "hen"), columnsTable()}
	for i := range 5 {
		table := keyed(fmt.Sprintf("raced%d", i), "hen")
		table.Indexes = []echobun.Index{{Columns: []string{"hen_id"}}}
		models = append(models, table)
	}
	return models
}

var racedTables = []string{"egg", "hen", "raced0", "raced1", "raced2", "raced3", "raced4", "things"}

// Ten that call CreateAll at once all succeed: extensions of this process, and
// processes.
func TestCreateAllAtOnce(t *testing.T) {
	t.Parallel()
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := url(t) // SQLite's file does not exist yet.
			var running sync.WaitGroup
			errs := make(chan error, 20)
			for range 3 {
				running.Go(func() { errs <- createInChild(t, dsn) })
			}
			for range 10 {
				running.Go(func() { errs <- createAndClose(t, dsn) })
			}
			running.Wait()
			close(errs)
			for err := range errs {
				require.NoError(t, err)
			}

			x := newExtension(t, echobun.Config{DatabaseURI: dsn}, racedModels()...)
			cat := catalogueOf(t, x.Engines(), "")
			require.Equal(t, racedTables, cat.tables())
			require.Equal(t, []string{"egg_id > egg(id)"}, cat.foreignKeys("hen"))
			require.Equal(t, []string{"hen_id > hen(id)"}, cat.foreignKeys("egg"))
			dropAtOnce(t, dsn)
			require.Empty(t, cat.tables())
		})
	}
}

func createAndClose(t *testing.T, dsn string) error {
	t.Helper()
	x, err := echobun.New(echobun.Config{DatabaseURI: dsn})
	if err != nil {
		return err
	}
	defer x.Close()
	if err := x.Register(racedModels()...); err != nil {
		return err
	}
	ctx, end := x.AppContext(t.Context())
	defer end()
	return x.CreateAll(ctx)
}

func dropAtOnce(t *testing.T, dsn string) {
	t.Helper()
	var running sync.WaitGroup
	errs := make(chan error, 5)
	for range 5 {
		x := newExtension(t, echobun.Config{DatabaseURI: dsn}, racedModels()...)
		ctx, _ := newSession(t, x)
		running.Go(func() { errs <- x.DropAll(ctx) })
	}
	running.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

// createInChild runs TestCreateAllChild in a process of its own.
func createInChild(t *testing.T, dsn string) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^TestCreateAllChild$") //nolint:gosec // This very program.
	cmd.Env = append(os.Environ(), childURL+"="+dsn)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("child is done")) {
		return fmt.Errorf("child: %w\n%s", err, out)
	}
	return nil
}

// TestCreateAllChild is what the processes of TestCreateAllAtOnce run.
func TestCreateAllChild(t *testing.T) {
	t.Parallel()
	dsn := os.Getenv(childURL)
	if dsn == "" {
		return // Only a child has something to do.
	}
	require.NoError(t, createAndClose(t, dsn))
	t.Log("child is done")
}
