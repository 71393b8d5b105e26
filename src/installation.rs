//! SEAM: the data folder: made once (`create`), recognised ever after (`open`); root and intermediate by rcgen
