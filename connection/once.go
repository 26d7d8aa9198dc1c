package connection

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// lacking is a schema of arguments without one that is not the model's to give.
func lacking(schema json.RawMessage, arg string) json.RawMessage {
	if arg == "" {
		return schema
	}
	var s map[string]any
	if json.Unmarshal(schema, &s) != nil {
		return schema
	}
	if properties, ok := s["properties"].(map[string]any); ok {
		delete(properties, arg)
	}
	if required, ok := s["required"].([]any); ok {
		s["required"] = slices.DeleteFunc(required, func(v any) bool { return v == arg })
	}
	b, err := json.Marshal(s)
	if err != nil {
		return schema
	}
	return b
}

// keyed are arguments with the key of their call, which is the same for every try.
func keyed(args json.RawMessage, arg, key string) (json.RawMessage, error) {
	if arg == "" {
		return args, nil
	}
	var a map[string]json.RawMessage
	if err := json.Unmarshal(args, &a); err != nil {
		return nil, err
	}
	if a == nil {
		a = map[string]json.RawMessage{}
	}
	sum := sha256.Sum256([]byte(key))
	a[arg] = json.RawMessage(`"deskmate-` + hex.EncodeToString(sum[:12]) + `"`)
	return json.Marshal(a)
}
