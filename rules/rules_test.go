package rules

import "testing"

func TestCatalog(t *testing.T) {
	s, err := Catalog()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(s.Len())
}
