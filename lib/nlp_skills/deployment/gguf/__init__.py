"""GGUF files: made by llama.cpp's own converter, compared with the model that they were made of."""
