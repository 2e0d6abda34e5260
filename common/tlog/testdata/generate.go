// Writes sumdb.json: what the Go checksum database's own library says about trees, proofs, tiles and notes.
//
//	mkdir vectors && cp generate.go vectors/main.go && cd vectors
//	go mod init vectors && go get golang.org/x/mod@v0.42.0 && go run . > ../sumdb.json
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type storage []tlog.Hash

func (s storage) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		out = append(out, s[i])
	}
	return out, nil
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func proofLines[T ~[]tlog.Hash](proof T) []string {
	lines := []string{}
	for _, hash := range proof {
		lines = append(lines, hash.String())
	}
	return lines
}

func main() {
	const size = 66000
	var hashes storage
	for i := int64(0); i < size; i++ {
		hashes = append(hashes, must(tlog.StoredHashes(i, []byte(fmt.Sprintf("entry %d", i)), hashes))...)
	}

	type root struct {
		Size int64  `json:"size"`
		Root string `json:"root"`
	}
	type inclusion struct {
		Index int64    `json:"index"`
		Size  int64    `json:"size"`
		Proof []string `json:"proof"`
	}
	type consistency struct {
		OldSize int64    `json:"old_size"`
		Size    int64    `json:"size"`
		Proof   []string `json:"proof"`
	}
	type tile struct {
		Path   string `json:"path"`
		Sha256 string `json:"sha256"`
	}
	var out struct {
		Comment     string        `json:"comment"`
		Roots       []root        `json:"roots"`
		Inclusion   []inclusion   `json:"inclusion"`
		Consistency []consistency `json:"consistency"`
		TreeSize    int64         `json:"tree_size"`
		Tiles       []tile        `json:"tiles"`
		Vkey        string        `json:"vkey"`
		Checkpoint  string        `json:"checkpoint"`
	}
	out.Comment = "golang.org/x/mod v0.42.0, sumdb/tlog and sumdb/note; entry i is \"entry <i>\". See generate.go. The signing key is 32 bytes of 7."
	sizes := []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 64, 255, 256, 257, 300, 512, 1000, 65535, 65536, 65537, size}
	for _, n := range sizes {
		out.Roots = append(out.Roots, root{n, must(tlog.TreeHash(n, hashes)).String()})
		for _, i := range []int64{0, n / 3, n / 2, n - 1} {
			out.Inclusion = append(out.Inclusion, inclusion{i, n, proofLines(must(tlog.ProveRecord(n, i, hashes)))})
		}
		for _, m := range []int64{1, n / 3, n / 2, n - 1, n} {
			if m > 0 {
				out.Consistency = append(out.Consistency, consistency{m, n, proofLines(must(tlog.ProveTree(n, m, hashes)))})
			}
		}
	}
	out.TreeSize = size
	for i, t := range tlog.NewTiles(8, 0, size) {
		if t.L == 0 && i%50 != 0 && t.W == 256 {
			continue
		}
		sum := sha256.Sum256(must(tlog.ReadTileData(t, hashes)))
		path := strings.Replace(t.Path(), "tile/8/", "tile/", 1)
		out.Tiles = append(out.Tiles, tile{path, hex.EncodeToString(sum[:])})
	}
	skey, vkey, err := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{7}, 64)), "home.example/image-repository")
	if err != nil {
		panic(err)
	}
	signer := must(note.NewSigner(skey))
	text := fmt.Sprintf("home.example/image-repository\n%d\n%s\n", size, must(tlog.TreeHash(size, hashes)))
	out.Vkey = vkey
	out.Checkpoint = string(must(note.Sign(&note.Note{Text: text}, signer)))
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(out); err != nil {
		panic(err)
	}
}
