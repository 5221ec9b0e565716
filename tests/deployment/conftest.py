"""One merged model and one GGUF file for all tests of the deployment."""
