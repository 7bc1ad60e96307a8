package sumvfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/url"
	"strings"
	"sync"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// The VFS is SQLite's own for the operating system, with a few of its methods wrapped: whatever is not about the
// bytes of pages, locks and shared memory above all, stays what SQLite has been tested with.

const (
	vfsName  = "faquan-sums"
	pageSize = 4096
	// reserved is the number of bytes at the end of each page that SQLite does not use: the page's number and its
	// checksum.
	reserved = 8

	logHeader   = 32 // of the write-ahead log
	frameHeader = 24 // of each of its frames, before the page
	frameSize   = frameHeader + pageSize
)

// The first version without the defect that can corrupt a database when a write-ahead log is reset while another connection
// makes a checkpoint is 3.51.3: an older one does not compile.
const _ = uint(lib.SQLITE_VERSION_NUMBER - 3_051_003)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stamp puts a page's number and checksum into its last bytes.
func stamp(page []byte, number uint32) {
	binary.BigEndian.PutUint32(page[pageSize-8:], number)
	binary.BigEndian.PutUint32(page[pageSize-4:], crc32.Checksum(page[:pageSize-4], castagnoli))
}

// stamped reports whether a page has its own number and a checksum that matches.
func stamped(page []byte, number uint32) bool {
	return binary.BigEndian.Uint32(page[pageSize-8:]) == number &&
		binary.BigEndian.Uint32(page[pageSize-4:]) == crc32.Checksum(page[:pageSize-4], castagnoli)
}

// URI names a database for sqlite.OpenConn, with sqlite.OpenURI, so that it is opened with checksums.
func URI(path string) (string, error) {
	if err := register(); err != nil {
		return "", err
	}
	uri := "file:" + (&url.URL{Path: path}).EscapedPath() + "?vfs=" + vfsName
	if _, ok := databases.Load(path); ok { // SQLite does not take + for a space
		uri += "&" + pathParameter + "=" + strings.ReplaceAll(url.QueryEscape(path), "+", "%20")
	}
	return uri, nil
}

// Mismatch is the result code of a read that found other bytes than were written. SQLite has it for this.
const Mismatch = lib.SQLITE_IOERR_DATA

// pathParameter carries the path of an open Database in a URI, since SQLite resolves the links in the name of the file.
const pathParameter = "database"

// methods is what SQLite knows a file by. SQLite sees only the first part.
type methods struct {
	lib.Tsqlite3_io_methods
	original *lib.Tsqlite3_io_methods
}

var vfs struct {
	original *lib.Tsqlite3_vfs
	path     uintptr // pathParameter as a C string

	mu     sync.Mutex
	tables map[tableKey]uintptr // *methods in C memory
}

type tableKey struct {
	original uintptr
	log      bool
}

// files are the open files of Databases, by the address of SQLite's sqlite3_file.
var files sync.Map // of uintptr to *Database

var register = sync.OnceValue(func() error {
	tls := libc.NewTLS()
	defer tls.Close()
	if rc := lib.Xsqlite3_initialize(tls); rc != lib.SQLITE_OK {
		return fmt.Errorf("SQLite cannot be initialized: code %d", rc)
	}
	found := lib.Xsqlite3_vfs_find(tls, 0)
	ours := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(lib.Tsqlite3_vfs{})))
	name, nameErr := libc.CString(vfsName)
	path, pathErr := libc.CString(pathParameter)
	if found == 0 || ours == 0 || nameErr != nil || pathErr != nil {
		return errors.New("SQLite's VFS cannot be extended")
	}
	vfs.original, vfs.path, vfs.tables = at[lib.Tsqlite3_vfs](found), path, map[tableKey]uintptr{}
	v := at[lib.Tsqlite3_vfs](ours)
	*v = *vfs.original
	v.FpNext, v.FzName, v.FxOpen = 0, name, address(open)
	if rc := lib.Xsqlite3_vfs_register(tls, ours, 0); rc != lib.SQLITE_OK {
		return fmt.Errorf("SQLite refuses the VFS: code %d", rc)
	}
	return nil
})

// at returns what lies at an address in C memory.
func at[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// bytesAt are n bytes in C memory.
func bytesAt(address uintptr, n int32) []byte { return unsafe.Slice(at[byte](address), n) }

// address is a function as the translated C code calls it. It must be a function of a package: nothing else stays
// where it is.
func address[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }

// function returns the inverse of address.
func function[F any](address uintptr) F { return *(*F)(unsafe.Pointer(&address)) }

type (
	openFunc   = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32
	closeFunc  = func(tls *libc.TLS, file uintptr) int32
	bytesFunc  = func(tls *libc.TLS, file, buffer uintptr, n int32, offset int64) int32
	deviceFunc = func(tls *libc.TLS, file uintptr) int32
)

func open(tls *libc.TLS, ours, name, file uintptr, flags int32, outFlags uintptr) int32 {
	rc := function[openFunc](vfs.original.FxOpen)(tls, ours, name, file, flags, outFlags)
	if rc != lib.SQLITE_OK || flags&(lib.SQLITE_OPEN_MAIN_DB|lib.SQLITE_OPEN_WAL) == 0 {
		return rc
	}
	f := at[lib.Tsqlite3_file](file)
	table := tableFor(tls, f.FpMethods, flags&lib.SQLITE_OPEN_WAL != 0)
	if table == 0 {
		return lib.SQLITE_NOMEM
	}
	f.FpMethods = table
	if path := lib.Xsqlite3_uri_parameter(tls, name, vfs.path); path != 0 {
		d, ok := databases.Load(libc.GoString(path))
		if !ok {
			return lib.SQLITE_MISUSE
		}
		files.Store(file, d)
	}
	return rc
}

// tableFor makes the methods of a file from those that it has. It returns 0 when there is no memory.
func tableFor(tls *libc.TLS, original uintptr, log bool) uintptr {
	vfs.mu.Lock()
	defer vfs.mu.Unlock()
	key := tableKey{original, log}
	if found := vfs.tables[key]; found != 0 {
		return found
	}
	made := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(methods{})))
	if made == 0 {
		return 0
	}
	m := at[methods](made)
	m.original = at[lib.Tsqlite3_io_methods](original)
	m.Tsqlite3_io_methods = *m.original
	m.FxClose = address(closeFile)
	if log {
		m.FxRead, m.FxWrite = address(readLog), address(writeLog)
	} else {
		m.FxRead, m.FxWrite, m.FxDeviceCharacteristics = address(readPage), address(writePage), address(deviceCharacteristics)
	}
	m.FiVersion = 2 // without memory mapping, which reads past this VFS
	vfs.tables[key] = made
	return made
}

func originalOf(file uintptr) *lib.Tsqlite3_io_methods {
	return at[methods](at[lib.Tsqlite3_file](file).FpMethods).original
}

func closeFile(tls *libc.TLS, file uintptr) int32 {
	files.Delete(file)
	return function[closeFunc](originalOf(file).FxClose)(tls, file)
}

// deviceCharacteristics keeps SQLite from reading parts of pages, whose checksum could not be checked.
func deviceCharacteristics(tls *libc.TLS, file uintptr) int32 {
	return function[deviceFunc](originalOf(file).FxDeviceCharacteristics)(tls, file) &^ lib.SQLITE_IOCAP_SUBPAGE_READ
}

func databaseFor(file uintptr) *Database {
	d, _ := files.Load(file)
	found, _ := d.(*Database)
	return found
}

// readPage reads a page of the database and checks it. Beside pages SQLite reads from the header, without a lock, to learn
// the size of pages; it then compares that with the first page, read as a page.
func readPage(tls *libc.TLS, file, buffer uintptr, n int32, offset int64) int32 {
	rc := function[bytesFunc](originalOf(file).FxRead)(tls, file, buffer, n, offset)
	if !filled(rc) || offset+int64(n) <= 100 {
		return rc
	}
	//guard:internal/store/embedded.TestFlippedBits without !stamped(bytesAt(buffer, n), pageNumber(offset))
	if n != pageSize || offset%pageSize != 0 || !stamped(bytesAt(buffer, n), pageNumber(offset)) {
		if d := databaseFor(file); d != nil {
			d.damaged(fmt.Errorf("page %d of %s does not match its checksum", pageNumber(offset), d.path))
		}
		return lib.SQLITE_IOERR_DATA
	}
	return rc
}

// filled reports whether a read has filled its buffer, if only with zeros behind the end of the file, which SQLite believes.
func filled(rc int32) bool { return rc == lib.SQLITE_OK || rc == lib.SQLITE_IOERR_SHORT_READ }

func pageNumber(offset int64) uint32 { return uint32(offset/pageSize) + 1 }

// writePage writes a page of the database with its checksum. With a write-ahead log that is what a checkpoint does, from a
// buffer of its own.
func writePage(tls *libc.TLS, file, buffer uintptr, n int32, offset int64) int32 {
	if n != pageSize || offset%pageSize != 0 {
		return lib.SQLITE_IOERR_WRITE
	}
	stamp(bytesAt(buffer, n), pageNumber(offset))
	return function[bytesFunc](originalOf(file).FxWrite)(tls, file, buffer, n, offset)
}

// frame reports whether bytes of the write-ahead log are the page of a frame, and of which, counted from 0.
func frame(n int32, offset int64) (int, bool) {
	offset -= logHeader + frameHeader
	return int(offset / frameSize), n == pageSize && offset >= 0 && offset%frameSize == 0
}

// readLog reads from the write-ahead log. SQLite checks the sums in its frames only when it opens a log that an ended process
// has left, never when it reads a page from it or moves one into the database.
func readLog(tls *libc.TLS, file, buffer uintptr, n int32, offset int64) int32 {
	rc := function[bytesFunc](originalOf(file).FxRead)(tls, file, buffer, n, offset)
	d := databaseFor(file)
	if !filled(rc) || d == nil {
		return rc
	}
	//guard:internal/store/embedded.TestFlippedLogBits
	if k, ok := frame(n, offset); ok && !d.isFrame(k, crc32.Checksum(bytesAt(buffer, n), castagnoli)) {
		d.damaged(fmt.Errorf("frame %d of %s does not match its checksum", k+1, d.path+LogSuffix))
		return lib.SQLITE_IOERR_DATA
	}
	return rc
}

// writeLog writes to the write-ahead log and remembers the checksums of its frames.
func writeLog(tls *libc.TLS, file, buffer uintptr, n int32, offset int64) int32 {
	if d := databaseFor(file); d != nil {
		if k, ok := frame(n, offset); ok {
			d.noteFrame(k, crc32.Checksum(bytesAt(buffer, n), castagnoli))
		} else if offset == 0 && n == logHeader {
			d.noteSalt(bytesAt(buffer, n))
		}
	}
	return function[bytesFunc](originalOf(file).FxWrite)(tls, file, buffer, n, offset)
}
