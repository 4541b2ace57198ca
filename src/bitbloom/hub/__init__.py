"""Models on Hugging Face's hub: the files of a target in a repository, their upload in one commit, and their comparison."""
