#include <bitnet.h>
#include <stdio.h>
int main(int argc, char **argv) {
  bitnet_error why = BITNET_ERROR_INIT;
  bitnet_model *model = NULL; bitnet_ctx *ctx = NULL; bitnet_generator *reply = NULL;
  bitnet_message ask = {"user", argc > 2 ? argv[2] : "What is the capital of France?", 0};
  bitnet_generate_options options = BITNET_GENERATE_OPTIONS_INIT;
  const char *piece; uint64_t bytes;
  options.messages = &ask; options.message_count = 1;
  if (argc < 2 || bitnet_model_open(argv[1], NULL, &model, &why) || bitnet_ctx_open(model, NULL, &ctx, &why) ||
      bitnet_generate_open(ctx, &options, &reply, &why)) return fprintf(stderr, "%s\n", why.message), 1;
  while (bitnet_generate_next(reply, &piece, &bytes, &why) == BITNET_OK) fwrite(piece, 1, bytes, stdout);
  bitnet_generate_close(reply); bitnet_ctx_close(ctx); bitnet_model_close(model);
  return puts(why.message) < 0 || why.status != BITNET_OK;
}
