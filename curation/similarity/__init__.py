"""The similarity network: made of `network`, taught by `training`, kept by `checkpoint`, applied by `scoring`."""
