package echobun

import (
	"fmt"
	"runtime"
	"strings"
)

// callerDepth is how many frames are searched for the application's.
const callerDepth = 64

// libraries are what stands between the application and a statement: the
// beginnings of their functions' names.
var libraries = []string{
	"github.com/echobun/echobun.",
	"github.com/echobun/echobun/driver",
	"github.com/echobun/echobun/internal/",
	"github.com/echobun/echobun/echobuntest.",
	"github.com/echobun/echobun/otelechobun.",
	"github.com/uptrace/bun.",
	"github.com/uptrace/bun/",
	"github.com/labstack/echo/",
	"database/sql.",
	"net/http.",
	"runtime.",
	"context.",
	"sync.",
}

// libraryFiles are parts of the paths of their files. A function literal that
// was inlined has the name of the application's function that it is now in.
var libraryFiles = []string{
	"github.com/echobun/echobun@",
	"github.com/uptrace/bun@",
	"github.com/uptrace/bun/",
	"github.com/labstack/echo/",
}

// caller returns the innermost line of the application on this goroutine's
// stack, as "file:line", or "".
func caller() string {
	var pcs [callerDepth]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		if frame.Function != "" && !inLibrary(frame.Function, frame.File) {
			return fmt.Sprintf("%s:%d", frame.File, frame.Line)
		}
		if !more {
			return ""
		}
	}
}

func inLibrary(function, file string) bool {
	for _, prefix := range libraries {
		if strings.HasPrefix(function, prefix) {
			return true
		}
	}
	for _, part := range libraryFiles {
		if strings.Contains(file, part) {
			return true
		}
	}
	return false
}
