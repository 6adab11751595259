"""Parts for a checkpoint that was not trained to denoise, such as smol, and its report: peers, load, lengths, chats."""
