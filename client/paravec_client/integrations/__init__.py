"""Doc2Vec vectors for scikit-learn, LangChain, LlamaIndex, Haystack and MTEB: a module for each library.

All take the same three arguments. `target`: the address of a server; by default PARAVEC_TARGET. TLS, token and timeout
come from the environment, see `ClientConfig.from_environment`. `artifact`: the directory of a model artifact, which is
then opened in this process, without a server. `normalize`: scale vectors to unit L2 norm; None for the model's default.

They hold only these arguments, so they can be copied, pickled and saved. Server or artifact are opened at first use.
"""
