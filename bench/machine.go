package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/echobun/echobun/bench/data"
)

// machine describes this machine.
func machine() string {
	words := []string{fmt.Sprintf("%d cores", runtime.NumCPU())}
	if model := field("/proc/cpuinfo", "model name"); model != "" {
		words[0] += " of " + model
	}
	if total := field("/proc/meminfo", "MemTotal"); total != "" {
		var kB int64
		if _, err := fmt.Sscan(total, &kB); err == nil {
			words = append(words, fmt.Sprintf("%d GB of memory", (kB+1<<19)>>20))
		}
	}
	return strings.Join(append(words, runtime.GOOS+"/"+runtime.GOARCH), ", ")
}

// field returns the value of the first line "name: value" of a file, or "".
func field(file, name string) string {
	content, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return "" // Not on this system.
	}
	for line := range strings.Lines(string(content)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// modules are those whose versions a reader wants to know.
var modules = []string{
	"github.com/uptrace/bun", "github.com/labstack/echo/v4",
	"github.com/jackc/pgx/v5", "github.com/go-sql-driver/mysql", "modernc.org/sqlite",
	"gorm.io/gorm", "gorm.io/plugin/dbresolver", "github.com/jmoiron/sqlx",
}

// versions are of Go, of the servers and of the modules.
func versions(ctx context.Context, sets []data.Set) ([]string, error) {
	all := []string{strings.Replace(runtime.Version(), "go", "Go ", 1)}
	for _, set := range sets {
		if set.Mixed() {
			continue
		}
		v, err := set.Main.Version(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	// A test binary does not know the versions of its modules.
	args := append([]string{"list", "-m", "-f", "{{.Path}} {{.Version}}"}, modules...)
	out, err := exec.CommandContext(ctx, "go", args...).Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m: %w", err)
	}
	return append(all, strings.Split(strings.TrimSpace(string(out)), "\n")...), nil
}
