package bot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	openai "github.com/sashabaranov/go-openai"
)

// embedTime bounds one call of the embedding server.
const embedTime = 30 * time.Second

// OpenAIEmbedder embeds texts with a server of the embeddings protocol.
type OpenAIEmbedder struct {
	client *openai.Client
	model  string
}

// NewOpenAIEmbedder returns an embedder that uses model; base is "" for the
// provider's own address.
func NewOpenAIEmbedder(key, base, model string) *OpenAIEmbedder {
	c := openai.DefaultConfig(key)
	if base != "" {
		c.BaseURL = base
	}
	c.HTTPClient = &http.Client{Timeout: embedTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &OpenAIEmbedder{openai.NewClientWithConfig(c), model}
}

// Model names the model.
func (e *OpenAIEmbedder) Model() string { return e.model }

// Embed gives a vector for each text. Its errors say the status and nothing of the
// answer: servers echo keys.
func (e *OpenAIEmbedder) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	resp, err := e.client.CreateEmbeddings(ctx, openai.EmbeddingRequestStrings{Input: texts, Model: openai.EmbeddingModel(e.model)})
	var api *openai.APIError
	var request *openai.RequestError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &api):
		return nil, fmt.Errorf("the embedding server answered with status %d", api.HTTPStatusCode)
	case errors.As(err, &request):
		return nil, fmt.Errorf("the embedding server answered with status %d", request.HTTPStatusCode)
	case err != nil:
		return nil, errors.New("the embedding server could not be reached or gave no vectors")
	}
	all := make([][]float32, len(texts))
	for _, d := range resp.Data {
		if d.Index < 0 || d.Index >= len(all) {
			return nil, fmt.Errorf("the embedding server gave a vector for text %d of %d", d.Index, len(all))
		}
		all[d.Index] = d.Embedding
	}
	for i, v := range all {
		if len(v) == 0 {
			return nil, fmt.Errorf("the embedding server gave no vector for text %d", i)
		}
	}
	return all, nil
}
